"""Archives of arrays come back as they were, and cannot swell."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from napari_inr_tomo.npz import read_npz

ARRAYS = {
    "weights": np.arange(12, dtype=np.float64).reshape(3, 4),
    "columns": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
    "one": np.array(7.0, np.float32),
}


def packed(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def test_arrays_come_back_with_names_shapes_types_and_order(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **ARRAYS)
    found = read_npz(tmp_path / "a.npz")
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_one_compressed_part_among_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.npy", packed(np.zeros(3)))
        archive.writestr("bad.npy", packed(np.zeros(9999)), zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="compressed"):
        read_npz(path)


@pytest.mark.parametrize("kept", [-8, 8])
def test_a_part_with_another_length_than_it_promises_is_refused(
    tmp_path: Path, kept: int
) -> None:
    path, content = tmp_path / "a.npz", packed(np.zeros(10))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", content[:kept] if kept < 0 else content + bytes(kept))
    with pytest.raises(ValueError, match="promises"):
        read_npz(path)


def test_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.array([{}], object))
    with pytest.raises(ValueError, match="promises"):
        read_npz(tmp_path / "a.npz")
