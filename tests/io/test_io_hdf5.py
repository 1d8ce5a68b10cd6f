"""The dialects of HDF5: where each keeps its axes, angles and pixel size."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from io_samples import ANGLES, pixels

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io import read_series


def emd(path: Path, data: np.ndarray, axes: list[tuple[Any, str, str]]) -> Path:
    with h5py.File(path, "w") as file:
        group = file.create_group("data/any")
        group.attrs["emd_group_type"] = 1
        group["data"] = data
        for number, (values, name, unit) in enumerate(axes, 1):
            group[f"dim{number}"] = np.asarray(values, np.float32)
            group[f"dim{number}"].attrs["name"] = name
            group[f"dim{number}"].attrs["units"] = np.bytes_(unit)
    return path


def test_emd_in_radians_and_angstrom(tmp_path: Path) -> None:
    axes = [
        (np.deg2rad(ANGLES), "angles", "[rad]"),
        (np.arange(11) * 35, "y", "[A]"),
        (np.arange(13) * 35, "x", "[A]"),
    ]
    series = read_series(emd(tmp_path / "a.emd", pixels(), axes))
    np.testing.assert_allclose(series.angles_deg, ANGLES, atol=1e-4)
    assert "radians" in series.angle_source
    assert series.pixel_size_nm == pytest.approx(3.5)


def test_emd_with_the_angles_last(tmp_path: Path) -> None:
    axes = [
        (np.arange(13) * 2, "x", "[n_m]"),
        (np.arange(11) * 2, "y", "[n_m]"),
        (ANGLES + 0.1, "angles", "[deg]"),
    ]
    series = read_series(emd(tmp_path / "a.emd", pixels().transpose(2, 1, 0), axes))
    np.testing.assert_array_equal(series.images, pixels())
    np.testing.assert_array_equal(series.angles_deg, (ANGLES + 0.1).round(6))


def test_data_exchange(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["exchange/data"] = pixels()
        file["exchange/data_white"] = pixels()
        file["exchange/theta"] = ANGLES
    series = read_series(tmp_path / "a.h5")
    np.testing.assert_array_equal(series.angles_deg, ANGLES)
    assert any("white" in notice for notice in series.notices)


def test_nxtomo(tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        file["entry/tomo_entry/data/data"] = pixels()
        file["entry/tomo_entry/data/rotation_angle"] = ANGLES
    series = read_series(path)
    np.testing.assert_array_equal(series.angles_deg, ANGLES)
    assert "rotation_angle in scan.h5" in series.angle_source


def test_plain_hdf5_with_named_angles(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["stack"] = pixels()
        file["tilt_angles"] = ANGLES
        file["exposure"] = np.ones(7)
    np.testing.assert_array_equal(read_series(tmp_path / "a.hdf5").angles_deg, ANGLES)


def velox(path: Path, data: np.ndarray, tilts: list[float | None]) -> Path:
    width = 600
    table = np.zeros((width, len(tilts)), np.uint8)
    for i, tilt in enumerate(tilts):
        stage = {} if tilt is None else {"AlphaTilt": str(tilt)}
        size = {"width": "2e-9", "height": "2e-9"}
        value = {"Stage": stage, "BinaryResult": {"PixelSize": size, "PixelUnitX": "m"}}
        text = json.dumps(value).encode()
        table[: len(text), i] = np.frombuffer(text, np.uint8)
    with h5py.File(path, "w") as file:
        group = file.create_group("Data/Image/0123456789abcdef")
        group["Data"] = data.transpose(1, 2, 0)
        group["Metadata"] = table
    return path


def test_velox_radians_per_frame(tmp_path: Path) -> None:
    path = velox(tmp_path / "a.emd", pixels(), list(np.deg2rad(ANGLES)))
    series = read_series(path)
    np.testing.assert_array_equal(series.images, pixels())
    np.testing.assert_allclose(series.angles_deg, ANGLES, atol=1e-6)
    assert series.pixel_size_nm == pytest.approx(2)


def test_velox_with_a_frame_without_angle(tmp_path: Path) -> None:
    path = velox(tmp_path / "a.emd", pixels(), [*np.deg2rad(ANGLES[:6]), None])
    with pytest.raises(UserError, match="Only 6 of 7"):
        read_series(path)


def test_hyperspy_file_with_a_tilt_axis(tmp_path: Path) -> None:
    hspy = pytest.importorskip("rsciio.hspy")
    axes = [
        {"size": 7, "name": "Tilt", "units": "degrees", "scale": 15.0, "offset": -45.0},
        {"size": 11, "name": "y", "units": "nm", "scale": 2.0, "offset": 0.0},
        {"size": 13, "name": "x", "units": "nm", "scale": 2.0, "offset": 0.0},
    ]
    for number, axis in enumerate(axes):
        axis.update(
            _type="UniformDataAxis", navigate=number == 0, index_in_array=number
        )
        axis["is_binned"] = False
    signal = {
        "data": pixels(),
        "axes": axes,
        "metadata": {"General": {"title": "a"}, "Signal": {"signal_type": ""}},
        "original_metadata": {},
        "attributes": {"_lazy": False, "ragged": False},
        "package_info": {"package": "x", "package_version": "1"},
        "tmp_parameters": {},
        "learning_results": {},
        "models": {},
    }
    hspy.file_writer(str(tmp_path / "a.hspy"), signal)
    for name in ("a.hspy", "b.h5"):
        (tmp_path / "b.h5").write_bytes((tmp_path / "a.hspy").read_bytes())
        series = read_series(tmp_path / name)
        np.testing.assert_array_equal(series.images, pixels())
        np.testing.assert_array_equal(series.angles_deg, ANGLES)
        assert series.pixel_size_nm == pytest.approx(2)


@pytest.mark.parametrize("status", [-signal.SIGSEGV, 0xC0000005, 0xC0000374])
def test_a_crash_of_the_library_is_known_on_every_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    def crash(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr(subprocess, "run", crash)
    path = tmp_path / "stack.h5"
    with h5py.File(path, "w") as file:
        file["stack"] = np.ones((3, 8, 8), np.float32)
    with pytest.raises(UserError, match="crashes on it"):
        read_series(path, "-10:10:10")


@pytest.mark.skipif(sys.platform == "win32", reason="memory is not looked at there")
def test_a_large_program_reads_small_files(tmp_path: Path) -> None:
    """What the program itself holds must not count as the file's."""
    path = tmp_path / "stack.h5"
    with h5py.File(path, "w") as file:
        file["stack"] = np.ones((3, 8, 8), np.float32)
        file["angles"] = [-10.0, 0.0, 10.0]
    code = (
        "import sys, numpy as np; held = np.ones(140_000_000);"
        "from pathlib import Path; from napari_inr_tomo.io.hdf5 import probe;"
        "probe(Path(sys.argv[1])); print(held.nbytes)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "1120000000", done.stderr
