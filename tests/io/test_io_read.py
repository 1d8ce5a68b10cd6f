"""Opening tilt series: every base format, the order of sources, honest notices."""

from __future__ import annotations

import builtins
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import tifffile
from io_samples import ANGLES, KINDS, SHAPE, make, mrc, mrc_extended, pixels, tlt

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io import read_images, read_series, write_series
from napari_inr_tomo.types import Step

SPAN = "-45:45:15"


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_and_order_are_those_of_the_file(tmp_path: Path, kind: str) -> None:
    series = read_series(make(kind, tmp_path), SPAN)
    np.testing.assert_array_equal(series.images, pixels())
    assert series.images.dtype == np.float32
    np.testing.assert_allclose(series.angles_deg, ANGLES)
    assert series.angle_source == "given as -45:45:15"


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float16", ">i2", ">f4"])
def test_mrc_modes(tmp_path: Path, dtype: str) -> None:
    data = pixels(dtype)
    series = read_series(mrc(tmp_path / "a.st", data), SPAN)
    np.testing.assert_array_equal(series.images, data.astype(np.float32))


def test_unsigned_bytes_of_older_programs(tmp_path: Path) -> None:
    """Mode 0 with a maximum of 200 holds unsigned bytes whatever the standard says."""
    path = mrc(tmp_path / "a.mrc", pixels("int8"))
    values = np.full(SHAPE, 200, np.uint8)
    raw = bytearray(path.read_bytes())
    raw[1024:] = values.tobytes()
    raw[76:88] = struct.pack("<3f", 200, 200, 200)
    path.write_bytes(bytes(raw))
    assert read_series(path, SPAN).images.max() == 200


def test_serialem_header_with_any_flags(tmp_path: Path) -> None:
    records = [
        struct.pack("<h6sh", round(a * 100), b"piece!", 50) for a in ANGLES + 0.05
    ]
    path = mrc_extended(
        tmp_path / "a.mrc", pixels("int16"), b"SERI", b"".join(records), (10, 1 + 2 + 8)
    )
    series = read_series(path)
    np.testing.assert_allclose(series.angles_deg, ANGLES + 0.05, atol=0.005)
    assert series.angle_source == "SerialEM extended header"


def test_serialem_header_without_its_name(tmp_path: Path) -> None:
    """Older files leave the kind blank: the flags must add up to the record's size."""
    records = b"".join(struct.pack("<hh", round(a * 100), 50) for a in ANGLES)
    good = mrc_extended(tmp_path / "a.mrc", pixels(), b"", records, (4, 9))
    np.testing.assert_allclose(read_series(good).angles_deg, ANGLES)
    bad = mrc_extended(tmp_path / "b.mrc", pixels(), b"", records, (4, 0))
    assert read_images(bad).angles_deg is None


def test_fei_header_of_128_bytes(tmp_path: Path) -> None:
    table = np.zeros((1024, 32), "<f4")
    table[: len(ANGLES), 0] = ANGLES + 0.1
    table[: len(ANGLES), 11] = 2.5e-9
    path = mrc_extended(tmp_path / "a.mrc", pixels(), b"", table.tobytes(), (0, 32))
    series = read_series(path)
    np.testing.assert_array_equal(series.angles_deg, (ANGLES + 0.1).round(6))
    assert series.pixel_size_nm == pytest.approx(2.5)
    assert series.angle_source == "FEI extended header"


def test_fei1_header(tmp_path: Path) -> None:
    from mrcfile.dtypes import get_ext_header_dtype

    table = np.zeros(len(ANGLES), get_ext_header_dtype(b"FEI1", "<"))
    table["Metadata size"] = table.dtype.itemsize
    table["Alpha tilt"] = ANGLES + 0.25
    table["Pixel size X"] = 1.5e-9
    path = mrc_extended(tmp_path / "a.mrc", pixels(), b"FEI1", table.tobytes(), (0, 0))
    series = read_series(path)
    np.testing.assert_array_equal(series.angles_deg, ANGLES + 0.25)
    assert series.pixel_size_nm == pytest.approx(1.5)


def test_fei1_header_of_the_other_byte_order(tmp_path: Path) -> None:
    from mrcfile.dtypes import HEADER_DTYPE, get_ext_header_dtype

    table = np.zeros(len(ANGLES), get_ext_header_dtype(b"FEI1", ">"))
    table["Metadata size"] = table.dtype.itemsize
    table["Alpha tilt"] = ANGLES + 0.25
    extended = table.tobytes()
    path = mrc_extended(tmp_path / "a.mrc", pixels(), b"FEI1", extended, (0, 0))
    raw = path.read_bytes()
    header = np.frombuffer(raw[:1024], HEADER_DTYPE.newbyteorder("<"))
    turned = bytearray(header.astype(HEADER_DTYPE.newbyteorder(">")).tobytes())
    turned[212:216] = b"\x11\x11\0\0"
    path.write_bytes(bytes(turned) + extended + pixels(">f4").tobytes())
    series = read_series(path)
    np.testing.assert_array_equal(series.angles_deg, ANGLES + 0.25)
    np.testing.assert_array_equal(series.images, pixels())


@pytest.mark.skipif(sys.platform == "win32", reason="links need permission there")
def test_the_files_beside_the_target_of_a_link_count(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    path = mrc(tmp_path / "a.mrc", pixels())
    tlt(tmp_path / "a.tlt")
    link = tmp_path / "here" / "b.mrc"
    link.symlink_to(path)
    assert read_series(link).angle_source == "side-car a.tlt"
    tlt(tmp_path / "here" / "b.tlt", ANGLES + 1)  # its own go first
    assert read_series(link).angle_source == "side-car b.tlt"


def test_a_header_full_of_zeros_gives_no_angles(tmp_path: Path) -> None:
    empty = bytes(131072)
    path = mrc_extended(tmp_path / "a.mrc", pixels(), b"", empty, (0, 32))
    with pytest.raises(UserError, match="all zero"):
        read_series(path)
    tlt(tmp_path / "a.tlt")
    assert read_series(path).angle_source == "side-car a.tlt"


def test_order_of_the_sources(tmp_path: Path) -> None:
    records = b"".join(struct.pack("<h", round(a * 100)) for a in ANGLES)
    path = mrc_extended(tmp_path / "a.mrc", pixels(), b"SERI", records, (2, 1))
    tlt(tmp_path / "a.rawtlt", ANGLES + 1)
    np.testing.assert_array_equal(read_series(path).angles_deg, ANGLES)
    given = read_series(path, tlt(tmp_path / "mine.txt", ANGLES + 2))
    np.testing.assert_array_equal(given.angles_deg, ANGLES + 2)
    assert given.angle_source == "given file mine.txt"


@pytest.mark.parametrize(
    "name", ["stack.rawtlt", "stack.tlt", "stack.csv", "stack.txt", "stack.mrc.rawtlt"]
)
def test_side_cars_of_the_same_name(tmp_path: Path, name: str) -> None:
    path = make("mrc", tmp_path)
    tlt(tmp_path / name)
    series = read_series(path)
    np.testing.assert_array_equal(series.angles_deg, ANGLES)
    assert series.angle_source == f"side-car {name}"


@pytest.mark.parametrize("name", ["stack.mdoc", "stack.mrc.mdoc"])
def test_mdoc_beside_the_stack(tmp_path: Path, name: str) -> None:
    path = mrc(tmp_path / "stack.mrc", pixels(), None)
    sections = "".join(
        f"[ZValue = {i}]\nTiltAngle = {a}\n" for i, a in enumerate(ANGLES)
    )
    head = "PixelSpacing = 26.6\n[T = Tilt axis angle = 94.0, binning = 1]\n"
    (tmp_path / name).write_text(head + sections)
    series = read_series(path)
    np.testing.assert_array_equal(series.angles_deg, ANGLES)
    assert series.pixel_size_nm == pytest.approx(2.66)
    assert any("94 degrees" in n and "on screen 4 deg" in n for n in series.notices)
    assert np.all(series.start_poses.as_array() == 0)  # said, not applied


def test_two_side_cars_that_disagree(tmp_path: Path) -> None:
    path = make("mrc", tmp_path)
    tlt(tmp_path / "stack.rawtlt")
    tlt(tmp_path / "stack.tlt", ANGLES + 3)
    series = read_series(path)
    assert series.angle_source == "side-car stack.rawtlt"
    assert any("stack.tlt" in n and "3 degrees" in n for n in series.notices)
    ali = mrc(tmp_path / "stack.ali", pixels())
    assert read_series(ali).angle_source == "side-car stack.tlt"


@pytest.mark.parametrize("count", [1, 6, 8, 14])
def test_wrong_count_names_both_numbers(tmp_path: Path, count: int) -> None:
    path = make("mrc", tmp_path)
    mine = tlt(tmp_path / "mine.tlt", np.linspace(-60, 60, count))
    with pytest.raises(UserError, match=rf"{count} angles .* 7 images"):
        read_series(path, mine)
    mine.rename(tmp_path / "stack.tlt")
    with pytest.raises(UserError, match=rf"{count} angles .* 7 images"):
        read_series(path)
    stack = read_images(path)  # the window can still ask for the angles
    assert stack.angles_deg is None
    assert len(stack.with_angles(SPAN)) == 7


def test_frames_per_tilt_are_named_as_the_cause(tmp_path: Path) -> None:
    path = mrc(tmp_path / "a.mrc", pixels(shape=(6, 5, 4)))
    with pytest.raises(UserError, match="2 frames per tilt"):
        read_series(path, "-1:1:1")


def test_a_log_beside_the_stack_is_no_angle_file(tmp_path: Path) -> None:
    path = make("mrc", tmp_path)
    (tmp_path / "stack.txt").write_text("11/18/11 10:36:43  Max tilt: 76\n")
    with pytest.raises(UserError, match=r"stack\.txt.*--angles"):
        read_series(path)
    assert len(read_series(path, SPAN).notices) == 0


def test_nothing_known_says_how_to_give_angles(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--angles start:stop:step"):
        read_series(make("tif", tmp_path))


def test_nan_is_replaced_masked_and_told(tmp_path: Path) -> None:
    data = pixels()
    data[2, 3, 4] = np.nan
    data[2, 0, 0] = np.inf
    data[5] = np.nan
    series = read_series(mrc(tmp_path / "a.mrc", data), SPAN)
    assert np.isfinite(series.images).all()
    rest = np.delete(data[2].ravel(), [0, 3 * SHAPE[2] + 4])
    assert series.images[2, 3, 4] == np.median(rest)
    assert series.valid is not None
    np.testing.assert_array_equal(series.valid, np.isfinite(data))
    assert series.mask.tolist() == [True] * 5 + [False, True]
    text = " ".join(series.notices)
    assert "more than 1 %" in text
    assert "excluded: 5" in text


def test_a_single_nan_does_not_alarm(tmp_path: Path) -> None:
    data = pixels()
    data[0, 0, 0] = np.nan
    notices = read_series(mrc(tmp_path / "a.mrc", data), SPAN).notices
    assert len(notices) == 1
    assert notices[0].startswith("1 pixel (0.10%)")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda d: d - 60, "negative"),
        (lambda d: d * np.where(np.arange(7) == 3, 0, 1)[:, None, None], "constant"),
    ],
)
def test_doubtful_pixels_are_told_and_kept(
    tmp_path: Path, change: Any, word: str
) -> None:
    data = change(pixels()).astype(np.float32)
    series = read_series(mrc(tmp_path / "a.mrc", data), SPAN)
    np.testing.assert_array_equal(series.images, data)
    assert any(word in notice for notice in series.notices)


@pytest.mark.parametrize("subtracted", [True, False])
def test_nobody_is_told_to_subtract_a_background_twice(
    tmp_path: Path, subtracted: bool
) -> None:
    series = read_series(mrc(tmp_path / "a.mrc", pixels()), SPAN)
    step = Step("subtract_background" if subtracted else "check_views")
    series = series.evolve(step, images=series.images - 60)
    write_series(tmp_path / "b.mrc", series)
    text = " ".join(read_series(tmp_path / "b.mrc").notices)
    assert "of the pixels are negative" in text
    assert ("subtract the background" in text) != subtracted


@pytest.mark.parametrize(
    ("angles", "word"),
    [
        (np.deg2rad(ANGLES), "radians"),
        (ANGLES * 2.5, "beyond 90"),
        (np.abs(ANGLES), "repeat"),
        (np.zeros(7), "same tilt angle"),
    ],
)
def test_doubtful_angles_are_told_and_kept(
    tmp_path: Path, angles: np.ndarray, word: str
) -> None:
    series = read_series(make("mrc", tmp_path), list(angles))
    np.testing.assert_array_equal(series.angles_deg, angles)
    assert any(word in notice for notice in series.notices)


def test_a_sound_series_has_no_notices(tmp_path: Path) -> None:
    assert read_series(make("mrc", tmp_path), SPAN).notices == ()


def test_unknown_and_oblong_pixels(tmp_path: Path) -> None:
    bare = read_series(mrc(tmp_path / "a.mrc", pixels(), None), SPAN)
    assert bare.pixel_size_nm is None
    assert any("pixel size is unknown" in n for n in bare.notices)
    path = mrc(tmp_path / "b.mrc", pixels(), 35.0)
    with mrcfile.open(path, "r+") as file:
        file.voxel_size = (35.0, 30.0, 35.0)
    oblong = read_series(path, SPAN)
    assert oblong.pixel_size_nm is None
    assert any("not square" in n for n in oblong.notices)


@pytest.mark.parametrize(
    ("unit", "resolution", "expected"),
    [
        ("nm", 0.4, 2.5),
        ("micron", 400.0, 2.5),
        (r"\u00B5m", 400.0, 2.5),  # as ImageJ writes the micro sign
        ("pixel", 1, None),
    ],
)
def test_imagej_pixel_size(
    tmp_path: Path, unit: str, resolution: float, expected: float | None
) -> None:
    path = tmp_path / "a.tif"
    metadata = {"axes": "TYX", "unit": unit}
    tifffile.imwrite(
        path, pixels(), imagej=True, resolution=(resolution,) * 2, metadata=metadata
    )
    size = read_series(path, SPAN).pixel_size_nm
    assert size == (None if expected is None else pytest.approx(expected, rel=1e-6))


def test_ome_pixel_size_and_printer_resolution(tmp_path: Path) -> None:
    metadata = {"axes": "TYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels(), ome=True, metadata=metadata)
    assert read_series(tmp_path / "a.ome.tif", SPAN).pixel_size_nm == pytest.approx(250)
    tifffile.imwrite(
        tmp_path / "b.tif", pixels(), resolution=(72, 72), resolutionunit="INCH"
    )
    assert read_series(tmp_path / "b.tif", SPAN).pixel_size_nm is None


def test_missing_rosettasciio_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.dm3").write_bytes(b"\0\0\0\3")
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("rsciio"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr("napari_inr_tomo.io.formats.importlib.import_module", refuse)
    with pytest.raises(UserError, match=r'pip install "napari-inr-tomo\[formats\]"'):
        read_series(tmp_path / "a.dm3")


def test_the_extra_is_imported_only_when_needed() -> None:
    code = "import sys, napari_inr_tomo.io; print('rsciio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
