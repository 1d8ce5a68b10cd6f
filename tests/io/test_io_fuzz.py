"""Damaged files: one clear error, no view lost, nothing else escapes."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from io_samples import ANGLES, KINDS, SHAPE, make, mrc, pixels

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io import check_file, hdf5, read_images, read_series, read_volume

HEADER = {"mrc": 1024, "npy": 128, "emd": 4000, "h5": 4000}


@pytest.fixture(autouse=True)
def _no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process for each of hundreds of files would take minutes."""
    monkeypatch.setattr(hdf5, "probe", lambda path: None)


def opened(path: Path) -> tuple[int, ...] | None:
    """The shape of the images, or None for a clean refusal; anything else escapes."""
    try:
        return read_images(path).images.shape
    except UserError:
        return None


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_header_bytes(tmp_path: Path, kind: str) -> None:
    """Whatever the header says, what opens has all its pixels, and some must fail."""
    path = make(kind, tmp_path)
    good = path.read_bytes()
    rng = np.random.default_rng(sum(kind.encode()))
    refused = 0
    for _ in range(120):
        raw = bytearray(good)
        for place in rng.integers(0, HEADER.get(kind, 400), rng.integers(1, 4)):
            raw[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(raw))
        shape = opened(path)
        refused += shape is None
        if shape is not None:
            assert len(shape) == 3
            assert np.prod(shape) <= 8 * np.prod(SHAPE)
            if kind == "mrc" and shape != SHAPE:
                assert any("follow" in doubt for doubt in read_images(path).doubts)
    assert refused


@pytest.mark.parametrize("kind", KINDS)
def test_truncation_never_loses_a_view(tmp_path: Path, kind: str) -> None:
    path = make(kind, tmp_path)
    good = path.read_bytes()
    lengths = np.unique(np.linspace(0, len(good) - 1, 100).astype(int))
    shapes = set()
    for length in lengths:
        path.write_bytes(good[:length])
        shapes.add(opened(path))
    # a cut within trailing padding may leave everything; fewer images never open
    assert shapes <= {None, SHAPE}
    path.write_bytes(good[: len(good) // 2])
    assert opened(path) is None


@pytest.mark.parametrize("suffix", [".dm3", ".ser", ".emi", ".hspy", ".bcf"])
def test_microscope_files_full_of_noise(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("rsciio", reason="the formats extra is not installed")
    rng = np.random.default_rng(3)
    path = tmp_path / f"a{suffix}"
    for size in (0, 1, 100, 5000):
        path.write_bytes(rng.bytes(size))
        assert opened(path) is None


def test_damaged_dm3(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("rsciio", reason="the formats extra is not installed")
    source = shared_data / "metadata" / "rsciio_test_stackbuilder_imagestack.dm3"
    good = source.read_bytes()
    path = tmp_path / "a.dm3"
    rng = np.random.default_rng(3)
    for _ in range(20):
        path.write_bytes(good[: int(rng.integers(len(good) // 2))])
        assert opened(path) in (None, (3, 2, 16))


@pytest.mark.parametrize("suffix", [".mrc", ".tif", ".npy", ".h5", ".emd", ".st"])
@pytest.mark.parametrize("content", [b"", b"hello", bytes(3000)])
def test_files_of_another_kind(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    assert opened(path) is None
    with pytest.raises(UserError, match=path.name):
        read_series(path)


@pytest.mark.parametrize(
    "shape", [(11, 13), (1, 11, 13), (2, 3, 11, 13), (7, 11, 13, 3), (5,)]
)
@pytest.mark.parametrize("suffix", [".npy", ".tif", ".h5", ".mrc"])
def test_wrong_dimensions(tmp_path: Path, shape: tuple[int, ...], suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    data = np.ones(shape, np.float32)
    if suffix == ".npy":
        np.save(path, data)
    elif suffix == ".tif" and len(shape) > 1:
        rgb = shape[-1] == 3
        tifffile.imwrite(path, data, photometric="rgb" if rgb else "minisblack")
    elif suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["data"] = data
    elif suffix == ".mrc" and len(shape) in (2, 3):
        mrc(path, data[None] if len(shape) == 2 else data, None)
    else:
        pytest.skip("the format has no such arrays")
    if suffix in (".npy", ".h5") and shape == (1, 11, 13):
        assert opened(path) == shape  # one image of a stack of one
    else:
        assert opened(path) is None


@pytest.mark.parametrize("dtype", ["complex64", "bool", "U3"])
def test_pixels_that_are_no_grey_values(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", np.ones(SHAPE).astype(dtype))
    with pytest.raises(UserError, match="pixels"):
        read_series(tmp_path / "a.npy", "-45:45:15")


def test_a_header_that_promises_terabytes(tmp_path: Path) -> None:
    path = mrc(tmp_path / "a.mrc", pixels())
    raw = bytearray(path.read_bytes())
    raw[0:12] = np.array([100_000, 100_000, 100], "<i4").tobytes()
    path.write_bytes(bytes(raw))
    with pytest.raises(UserError, match="promises 100 images"):
        read_series(path)


@pytest.mark.parametrize("length", [2_000_000_000, -5])
def test_an_extended_header_of_any_length(tmp_path: Path, length: int) -> None:
    path = mrc(tmp_path / "a.mrc", pixels())
    raw = bytearray(path.read_bytes())
    raw[92:96] = np.int32(length).tobytes()
    path.write_bytes(bytes(raw))
    with pytest.raises(UserError, match=f"{length} bytes"):
        read_series(path)


@pytest.mark.parametrize("change", [-2, 2])
def test_a_wrong_number_of_sections_is_no_loss(tmp_path: Path, change: int) -> None:
    path = mrc(tmp_path / "a.mrc", pixels())
    raw = bytearray(path.read_bytes())
    raw[8:12] = np.int32(SHAPE[0] + change).tobytes()
    path.write_bytes(bytes(raw))
    with pytest.raises(UserError, match="promises"):
        read_series(path)


def test_chunks_that_were_never_written(tmp_path: Path) -> None:
    """HDF5 returns zeros for them; they are no measurement."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("d", SHAPE, "f4", chunks=(1, 11, 13))
        data[:4] = 1
    with pytest.raises(UserError, match="3 of 7 parts"):
        read_series(tmp_path / "a.h5", "-45:45:15")


def test_two_stacks_in_one_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["one"] = pixels()
        file["two"] = pixels()
    with pytest.raises(UserError, match=r"more than one.*one.*two"):
        read_series(tmp_path / "a.h5")
    with tifffile.TiffWriter(tmp_path / "b.tif") as tif:
        tif.write(pixels(), photometric="minisblack")
        tif.write(pixels()[:2, :5], photometric="minisblack")
    with pytest.raises(UserError, match="differ"):
        read_series(tmp_path / "b.tif")


def test_volumes_are_guarded_as_well(tmp_path: Path) -> None:
    for kind in ("mrc", "npy", "tif"):
        path = make(kind, tmp_path)
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(UserError, match="stack"):
            read_volume(path)


def test_names_that_are_no_stacks(tmp_path: Path) -> None:
    (tmp_path / "a.tlt").write_text("1\n2\n")
    (tmp_path / "b.docx").write_text("x")
    for name, match in (
        ("a.tlt", "holds angles"),
        ("b.docx", "not a known format"),
        ("none.mrc", "does not exist"),
        ("none", "does not exist"),
        ("none.tlt", "does not exist"),
    ):
        with pytest.raises(UserError, match=match):
            read_series(tmp_path / name)


def test_check_lists_all_problems(tmp_path: Path) -> None:
    data = pixels()
    data[3, 2, 2] = np.nan
    data[4] = 5
    path = mrc(tmp_path / "a.mrc", data, None)
    raw = bytearray(path.read_bytes())
    raw[108:112] = bytes(4)  # the version of the standard
    path.write_bytes(bytes(raw))
    (tmp_path / "a.tlt").write_text("1\n2\n3\n")
    text = "\n".join(check_file(path))
    for word in ("without a number", "constant", "pixel size", "3 angles", "MRC2014"):
        assert word in text
    (tmp_path / "a.tlt").write_text("".join(f"{a / 60}\n" for a in ANGLES))
    assert any("radians" in problem for problem in check_file(path))


def test_check_of_a_sound_and_of_a_broken_file(tmp_path: Path) -> None:
    path = mrc(tmp_path / "a.mrc", pixels())
    (tmp_path / "a.tlt").write_text("".join(f"{a}\n" for a in ANGLES))
    assert check_file(path) == []
    path.write_bytes(path.read_bytes()[:-1])
    problems = check_file(path)
    assert "promises 7 images" in problems[0]
    assert json.dumps(problems)
    assert check_file(tmp_path / "none.tif") != []
