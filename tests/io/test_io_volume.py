"""Volumes: written, read, the same; whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import zarr

from in_use import InUse
from napari_inr_tomo import atomic
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io import (
    VOLUME_SUFFIXES,
    mrc,
    read_series,
    read_volume,
    write_series,
    write_volume,
)
from napari_inr_tomo.io import volume as volume_module
from napari_inr_tomo.io.border import writing
from napari_inr_tomo.io.ome_zarr import _halved
from napari_inr_tomo.types import Step, TiltSeries, Volume

DATA = np.random.default_rng(4).normal(size=(5, 9, 7)).astype(np.float32)


@pytest.mark.parametrize("held", [False, True], ids=["others", "Windows"])
def test_a_large_volume_is_mapped_only_where_its_file_stays_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    path = tmp_path / "volume.mrc"
    write_volume(path, Volume(DATA))
    monkeypatch.setattr(mrc, "_KEEP_MAPPED", 0)
    monkeypatch.setattr(volume_module, "_HOLDS_MAPPED", held)
    array = read_volume(path).data
    np.testing.assert_array_equal(array, DATA)
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    assert isinstance(array, np.memmap) != held


@pytest.mark.parametrize("suffix", VOLUME_SUFFIXES)
def test_a_volume_that_another_program_shows_is_replaced_later_or_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = tmp_path / f"volume{suffix}"
    write_volume(path, Volume(DATA))
    with monkeypatch.context() as shown:
        shown.setattr(os, "replace", InUse(os.replace, path.name, times=3))
        write_volume(path, Volume(2 * DATA))
    monkeypatch.setattr(atomic, "BUSY_S", 0.05)
    with monkeypatch.context() as shown:
        shown.setattr(os, "replace", InUse(os.replace, path.name))
        with pytest.raises(UserError, match="another program has it open"):
            write_volume(path, Volume(3 * DATA))
    np.testing.assert_array_equal(read_volume(path).data, 2 * DATA)


@pytest.mark.parametrize("suffix", [*VOLUME_SUFFIXES, ".tiff", ".rec"])
@pytest.mark.parametrize("size", [0.731, None])
def test_round_trip(tmp_path: Path, suffix: str, size: float | None) -> None:
    path = tmp_path / f"my.volume{suffix}"
    write_volume(path, Volume(DATA, size))
    again = read_volume(path)
    np.testing.assert_array_equal(again.data, DATA)
    assert again.voxel_nm == (None if size is None else pytest.approx(size, rel=1e-6))
    assert again.name == "my.volume"
    left = {p.name for p in tmp_path.iterdir()} - {path.name, "my.volume.npy.json"}
    assert left == set()


def test_a_volume_leaves_the_record_of_the_stack_of_its_name(tmp_path: Path) -> None:
    stack = tmp_path / "al.mrc"
    write_series(stack, TiltSeries(DATA, np.arange(5.0), history=(Step("x", {}),)))
    before = (tmp_path / "al.json").read_bytes()
    write_volume(tmp_path / "al.npy", Volume(DATA, 0.7))
    assert (tmp_path / "al.json").read_bytes() == before
    assert read_series(stack).history[0].name == "x"
    assert read_volume(tmp_path / "al.npy").voxel_nm == pytest.approx(0.7)


def test_the_record_of_a_volume_by_its_older_name(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", DATA)
    record = {"kind": "volume", "file": "v.npy", "voxel_nm": 0.7}
    (tmp_path / "v.json").write_text(json.dumps(record))
    assert read_volume(tmp_path / "v.npy").voxel_nm == pytest.approx(0.7)


@pytest.mark.parametrize("suffix", VOLUME_SUFFIXES)
def test_writing_replaces(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"v{suffix}"
    write_volume(path, Volume(np.zeros((8, 8, 90), np.float32), 1.0))
    write_volume(path, Volume(DATA, 2.0))
    np.testing.assert_array_equal(read_volume(path).data, DATA)


def test_mrc_is_a_volume_in_angstrom(tmp_path: Path) -> None:
    write_volume(tmp_path / "v.mrc", Volume(DATA, 0.5))
    with mrcfile.open(tmp_path / "v.mrc") as file:
        assert file.is_volume()
        assert file.voxel_size.x == pytest.approx(5)
        assert file.voxel_size.z == pytest.approx(5)
    assert mrcfile.validate(tmp_path / "v.mrc")


def test_ome_zarr_metadata(tmp_path: Path) -> None:
    """NGFF 0.4: axes, unit, scale and the half-voxel shift of each coarser level."""
    data = np.random.default_rng(1).normal(size=(3, 300, 130)).astype(np.float32)
    write_volume(tmp_path / "v.ome.zarr", Volume(data, 2.0, "needle"))
    text = json.loads((tmp_path / "v.ome.zarr" / ".zattrs").read_text())
    image = text["multiscales"][0]
    assert image["version"] == "0.4"
    assert image["axes"] == [
        {"name": n, "type": "space", "unit": "nanometer"} for n in "zyx"
    ]
    shapes = []
    for level in image["datasets"]:
        array = zarr.open_array(str(tmp_path / "v.ome.zarr" / level["path"]), mode="r")
        shapes.append(array.shape)
        scale, shift = level["coordinateTransformations"]
        np.testing.assert_allclose(
            shift["translation"], (np.array(scale["scale"]) - 2) / 2
        )
    assert shapes == [(3, 300, 130), (2, 150, 65), (1, 75, 33)]
    steps = [
        level["coordinateTransformations"][0]["scale"] for level in image["datasets"]
    ]
    assert steps == [[2, 2, 2], [4, 4, 4], [8, 8, 8]]


def test_coarser_levels_are_means() -> None:
    data = np.arange(4 * 3 * 5, dtype=np.float32).reshape(4, 3, 5)
    half = _halved(data)
    assert half.shape == (2, 2, 3)
    assert half[0, 0, 0] == pytest.approx(data[:2, :2, :2].mean())
    assert half[1, 1, 2] == pytest.approx(data[2:, 2, 4].mean())


def test_a_chunk_that_is_missing_is_found(tmp_path: Path) -> None:
    path = tmp_path / "v.ome.zarr"
    write_volume(path, Volume(DATA * 0, 1.0))  # zeros are chunks as well
    assert read_volume(path).data.max() == 0
    (path / "0" / "0" / "0" / "0").unlink()
    with pytest.raises(UserError, match="1 of its 1 chunks"):
        read_volume(path)


def test_other_folders_are_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "holiday.ome.zarr"
    path.mkdir()
    (path / "photo.txt").write_text("keep me")
    with pytest.raises(UserError, match="not an OME-Zarr"):
        write_volume(path, Volume(DATA))
    assert (path / "photo.txt").read_text() == "keep me"


@pytest.mark.parametrize("suffix", VOLUME_SUFFIXES)
def test_a_failed_write_keeps_the_old_file(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"v{suffix}"
    write_volume(path, Volume(DATA, 2.0))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("mrcfile.new_mmap", "tifffile.imwrite", "zarr.Array.__setitem__"):
        monkeypatch.setattr(name, full)
    monkeypatch.setattr("numpy.lib.format.write_array", full)
    with pytest.raises(UserError, match="No space left"):
        write_volume(path, Volume(DATA + 1, 2.0))
    monkeypatch.undo()
    np.testing.assert_array_equal(read_volume(path).data, DATA)
    assert {p.name for p in tmp_path.iterdir()} <= {path.name, "v.npy.json"}


@pytest.mark.parametrize(
    "name", ["v.xyz", "v", "no/such/folder/v.mrc", "no/such/folder/v.ome.zarr"]
)
def test_places_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError):
        write_volume(tmp_path / name, Volume(DATA))


@pytest.mark.parametrize("name", ["v.mrc", "v.tif", "v.ome.zarr", "v.npy", "v.xyz"])
def test_reading_what_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError):
        read_volume(tmp_path / name)


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError):
        read_volume(tmp_path / "v.npy")


@pytest.mark.scenario(26)
def test_ome_zarr_of_a_mapped_volume_takes_some_sections_of_memory(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    """And its levels are those of the volume halved at once, odd lengths too."""
    import tracemalloc

    rng, most = np.random.default_rng(26), []
    for sections in (259, 515):
        stored = tmp_path / f"stored-{sections}"
        rng.random((sections, 161, 150), np.float32).tofile(stored)
        mapped = np.memmap(stored, np.float32, "r", shape=(sections, 161, 150))
        tracemalloc.start()
        write_volume(tmp_path / f"{sections}.ome.zarr", Volume(mapped, 1.0))
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert most[1] < 1.5 * most[0]  # what several threads hold varies a little
    figure(f"twice the sections as OME-Zarr: {most[1] / most[0]:.2f} times the memory")
    expected, level = np.asarray(mapped), 0
    while (tmp_path / "515.ome.zarr" / str(level)).is_dir():
        array = zarr.open_array(str(tmp_path / "515.ome.zarr" / str(level)), mode="r")
        np.testing.assert_array_equal(np.asarray(array[...]), expected)
        expected, level = _halved(expected), level + 1
    assert level == 4


@pytest.mark.scenario(12)
@pytest.mark.parametrize("place", ["filters", "compressor"])
def test_a_program_in_a_chunk_of_ome_zarr_never_runs(
    tmp_path: Path, place: str, figure: Callable[[str], None]
) -> None:
    """The codec library knows one that unpickles, and a file may ask for it."""
    import pickle

    path, proof = tmp_path / "v.ome.zarr", tmp_path / "it-ran"

    class Evil:
        def __reduce__(self):
            return proof.mkdir, ()

    write_volume(path, Volume(DATA, 1.0))
    described = json.loads((path / "0" / ".zarray").read_text())
    described |= {"compressor": None, "filters": None}
    pickler = {"id": "pickle", "protocol": 5}
    described[place] = [pickler] if place == "filters" else pickler
    (path / "0" / ".zarray").write_text(json.dumps(described))
    for chunk in (path / "0").rglob("[0-9]*"):
        if chunk.is_file():
            chunk.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match="pickle"):
        read_volume(path)
    assert not proof.exists()
    figure(f"a program in a chunk of OME-Zarr, {place}: refused")


@pytest.mark.scenario(13)
def test_ome_zarr_of_next_to_nothing_is_not_blown_up(tmp_path: Path) -> None:
    path = tmp_path / "v.ome.zarr"
    write_volume(path, Volume(DATA, 1.0))
    group = json.loads((path / ".zattrs").read_text())
    del group["napari_inr_tomo"]
    (path / ".zattrs").write_text(json.dumps(group))
    described = json.loads((path / "0" / ".zarray").read_text())
    described["shape"] = [1000, 1000, 1000]
    (path / "0" / ".zarray").write_text(json.dumps(described))
    with pytest.raises(UserError, match="cannot hold"):
        read_volume(path)


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOMEM, "no memory")])
def test_a_full_memory_is_no_full_disk(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(UserError, match="not enough memory") as told:
        with writing(tmp_path / "volume.mrc"):
            raise error
    assert "folder" not in str(told.value)
