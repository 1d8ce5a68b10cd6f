"""Every real header and side-car file: the right angles, or the right error."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from io_samples import mrc, tlt

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io import read_angles, read_images, read_series, read_xf


@dataclass(frozen=True)
class Case:
    """A stack: what opening it gives, or the words of the error."""

    name: str
    shape: tuple[int, int, int] | None = None
    angles: tuple[float, ...] | None = None  # first, second, last
    pixel_nm: float | None = None
    source: str = ""
    error: str = ""
    notice: str = ""


NEEDLE = "needle/needle_unaligned"
STACKS = [
    Case(f"{NEEDLE}.mrc", (91, 64, 64), (-90, -88, 90), 17.994916, "rawtlt"),
    Case(f"{NEEDLE}.tif", (91, 64, 64), (-90, -88, 90), None, "rawtlt", "", "unknown"),
    Case(f"{NEEDLE}_tomviz.emd", (91, 64, 64), (-90, -88, 90), 17.99492, "dim1"),
    Case(
        "needle/HAADF_needle_91x64x64_pm90.dm3",
        (91, 64, 64),
        (-90, -88, 90),
        17.994916,
        "calibration of the stack axis",
    ),
    Case("metadata/dm_tomo_series_BF_001_blank_pixels.dm3", error="single image"),
    Case("metadata/dm_tomo_series_BF_002_blank_pixels.dm3", error="single image"),
    Case("metadata/dm_tomo_series_BF_003_blank_pixels.dm3", error="single image"),
    Case("metadata/ncempy_dmTest_3D_int16_64_65_66.dm3", (66, 65, 64), error="unknown"),
    Case("metadata/ncempy_dmTest_3D_int16_64_65_66.dm4", (66, 65, 64), error="unknown"),
    Case(
        "metadata/rsciio_64x64x5_TEM_preview.emi",
        (5, 64, 64),
        None,
        6.2818336,
        error="that of one image",
    ),
    Case(
        "metadata/rsciio_64x64x5_TEM_preview_1.ser",
        (5, 64, 64),
        None,
        6.2818336,
        error="unknown",
    ),
    Case(
        "metadata/rsciio_fei_example_tem_stack.emd",
        (2, 3, 3),
        (-12.58637, -12.58637, -12.58637),  # -0.2196736 radians
        0.0081728832,
        "Velox",
        notice="same tilt angle",
    ),
    Case(
        "metadata/rsciio_test_stackbuilder_imagestack.dm3",
        (3, 2, 16),
        None,
        59.982903,
        error="unknown",
    ),
    Case(
        "metadata/imod_TS_001/TS_001.st",
        (40, 1, 1),
        (-60, -57, 56.99),
        0.6192,
        "rawtlt",
        notice="83.9 degrees",
    ),
]

SIDE_CARS = [
    ("Co2P_tilt_angles_74.rawtlt", 74, (-75, -73, 75)),
    ("fei_etspy_HAADF_77.rawtlt", 77, (-76, -74, 76)),
    ("imod_TS_001/TS_001.rawtlt", 40, (-60, -57, 56.99)),
    ("imod_TS_001/TS_001.tlt", 40, (-57.12, -54.11, 59.84)),
    ("warp_00254.tlt", 41, (-60.01, -57.0, 59.98)),
    ("serialem_L1_tgt_001.mrc.mdoc", 1, (0.0025, None, 0.0025)),
    ("serialem_L1_ts_001.mrc.mdoc", 41, (-0.0095, 2.9916, -60.0006)),
    ("serialem_multiframe_test_000.mrc.mdoc", 2, (-0.0005, -0.0005, -0.0005)),
    ("serialem_multiframe_test_001.mrc.mdoc", 2, (5.0005, 5.0005, 5.0005)),
    ("serialem_multiframe_test_002.mrc.mdoc", 2, (-5.0015, -5.0015, -5.0015)),
    ("serialem_multitilt_test_000.mdoc", 2, (-0.0005, -0.0005, -0.0005)),
]

NOT_ANGLES = [
    "fei_etspy_acquisition_log.txt",
    "warp_00254.xf",
    "imod_TS_001/TS_001.edf",
]
OTHERS = {
    # read as poses; rotations about x that this project has no use for
    "warp_00254.xf",
    "imod_TS_001/TS_001.xf",
    "imod_TS_001/TS_001.edf",
    "imod_TS_001/TS_001.xtilt",
    "fei_etspy_acquisition_log.txt",
}


def needs_extra(name: str) -> None:
    if name.endswith((".dm3", ".dm4", ".ser", ".emi")):
        pytest.importorskip("rsciio", reason="the formats extra is not installed")


@pytest.mark.parametrize("case", STACKS, ids=lambda case: case.name)
def test_stacks(shared_data: Path, case: Case) -> None:
    needs_extra(case.name)
    path = shared_data / case.name
    if case.error:
        with pytest.raises(UserError, match=case.error):
            read_series(path)
        if case.shape is None:
            return
        span = f"0:{case.shape[0] - 1}:1"
        series = read_series(path, span)
        assert series.angle_source == f"given as {span}"
    else:
        series = read_series(path)
        first, second, last = case.angles or (0, 0, 0)
        np.testing.assert_allclose(series.angles_deg[0], first, atol=1e-6)
        np.testing.assert_allclose(series.angles_deg[1], second, atol=1e-6)
        np.testing.assert_allclose(series.angles_deg[-1], last, atol=1e-6)
        assert case.source in series.angle_source
    assert series.images.shape == case.shape
    if case.pixel_nm is None:
        assert series.pixel_size_nm is None
    else:
        assert series.pixel_size_nm == pytest.approx(case.pixel_nm, rel=1e-6)
    assert case.notice in " ".join(series.notices)


@pytest.mark.parametrize(("name", "count", "values"), SIDE_CARS)
def test_side_cars(
    shared_data: Path, tmp_path: Path, name: str, count: int, values: tuple[float, ...]
) -> None:
    """Each is read alone and found beside a stack of its length."""
    source = shared_data / "metadata" / name
    angles = read_angles(source)
    assert len(angles) == count
    for index, value in zip((0, 1, -1), values, strict=True):
        if value is not None:
            assert angles[index] == pytest.approx(value, abs=5e-5)
    suffix = source.name[source.name.index(".") :]
    stem = "stack" if suffix.startswith(".mrc") else "stack.mrc"
    beside = tmp_path / f"{stem}{suffix}"
    shutil.copyfile(source, beside)
    images = np.random.default_rng(0).uniform(size=(max(count, 2), 3, 4))
    stack = mrc(tmp_path / "stack.mrc", images.astype(np.float32), None)
    if count == 1:
        with pytest.raises(UserError, match="1 angles"):
            read_series(stack)
        return
    series = read_series(stack)
    np.testing.assert_array_equal(series.angles_deg, angles)
    assert series.angle_source == f"side-car {beside.name}"


@pytest.mark.parametrize("name", NOT_ANGLES)
def test_texts_that_are_no_angles(shared_data: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="angles"):
        read_angles(shared_data / "metadata" / name)


def test_nominal_axis_and_pixel_size_of_a_real_mdoc(
    shared_data: Path, tmp_path: Path
) -> None:
    name = "serialem_L1_ts_001.mrc.mdoc"
    shutil.copyfile(shared_data / "metadata" / name, tmp_path / name)
    images = np.random.default_rng(0).uniform(size=(41, 3, 4)).astype(np.float32)
    series = read_series(mrc(tmp_path / "L1_ts_001.mrc", images, None), "-60:60:3")
    assert series.pixel_size_nm is None  # the name of the mdoc differs: not its stack
    (tmp_path / name).rename(tmp_path / "L1_ts_001.mrc.mdoc")
    series = read_series(tmp_path / "L1_ts_001.mrc")
    assert series.pixel_size_nm == pytest.approx(0.2663)
    assert any("94 degrees" in n and "on screen 4 deg" in n for n in series.notices)


def test_one_dm3_file_per_tilt(shared_data: Path, tmp_path: Path) -> None:
    """Here, and only here, Stage Alpha is the angle of its image."""
    pytest.importorskip("rsciio", reason="the formats extra is not installed")
    for path in (shared_data / "metadata").glob("dm_tomo_series_BF_*.dm3"):
        shutil.copyfile(path, tmp_path / path.name)
    series = read_series(tmp_path)
    np.testing.assert_allclose(
        series.angles_deg, [-72.003, -69.0036, -66.0042], atol=1e-4
    )
    assert series.images.shape == (3, 128, 128)
    assert series.pixel_size_nm == pytest.approx(19.1087, rel=1e-5)
    assert series.angle_source == "stage tilt of every file"


@pytest.mark.parametrize("suffix", [".tif", "_tomviz.emd", ".dm3"])
def test_the_needle_is_the_same_in_every_format(shared_data: Path, suffix: str) -> None:
    """Same orientation, same order: pixel by pixel."""
    folder = shared_data / "needle"
    name = f"needle_unaligned{suffix}"
    if suffix == ".dm3":
        needs_extra(suffix)
        name = "HAADF_needle_91x64x64_pm90.dm3"
    reference = read_images(folder / "needle_unaligned.mrc").images
    assert not np.array_equal(reference, reference[:, ::-1])
    np.testing.assert_array_equal(read_images(folder / name).images, reference)


def test_velox_frames_as_rosettasciio_reads_them(shared_data: Path) -> None:
    emd = pytest.importorskip("rsciio.emd", reason="the formats extra is not installed")
    path = shared_data / "metadata" / "rsciio_fei_example_tem_stack.emd"
    expected = emd.file_reader(str(path))[0]["data"]
    np.testing.assert_array_equal(read_images(path).images, expected)


def test_oblong_voxels_of_the_axis_order_test(shared_data: Path) -> None:
    pytest.importorskip("rsciio", reason="the formats extra is not installed")
    path = shared_data / "metadata" / "ncempy_dmTest_3D_int16_64_65_66.dm3"
    notices = read_series(path, "0:65:1").notices
    assert any("not square" in notice for notice in notices)


def test_imod_files_that_go_with_warp(shared_data: Path) -> None:
    folder = shared_data / "metadata"
    poses = read_xf(folder / "warp_00254.xf")
    assert len(poses) == len(read_angles(folder / "warp_00254.tlt")) == 41
    axis = poses.z3_deg[0] - 90  # IMOD's image rotation: A12 = sin = -0.07498
    assert axis == pytest.approx(-4.3, abs=0.01)


def test_the_tables_above_name_every_file(shared_data: Path) -> None:
    folder = shared_data / "metadata"
    known = {case.name.removeprefix("metadata/") for case in STACKS}
    known |= {name for name, *_ in SIDE_CARS} | OTHERS
    there = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert there == {name for name in known if not name.startswith("needle/")}


def test_sub_set_of_a_real_mdoc(shared_data: Path, tmp_path: Path) -> None:
    """A view removed from the stack but not from its .mdoc is an error, no shift."""
    source = shared_data / "metadata" / "serialem_L1_ts_001.mrc.mdoc"
    shutil.copyfile(source, tmp_path / "a.mrc.mdoc")
    images = np.random.default_rng(0).uniform(size=(40, 3, 4)).astype(np.float32)
    stack = mrc(tmp_path / "a.mrc", images)
    with pytest.raises(UserError, match=r"41 angles .* 40 images"):
        read_series(stack)
    tlt(tmp_path / "a.rawtlt", np.arange(40.0))
    assert read_series(stack).angle_source == "side-car a.rawtlt"
