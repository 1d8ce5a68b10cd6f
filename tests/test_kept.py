"""What was done to a file's tilt series, kept for when it is opened again."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from in_use import InUse
from napari_inr_tomo import align, atomic, io, kept, preprocess
from napari_inr_tomo.replay import is_repeatable, series_of_record
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import Step, TiltSeries


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the steps out of the real home folder."""
    folder = tmp_path / "kept"
    monkeypatch.setattr(kept.remembered, "file", lambda name: folder / name)
    return folder


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    angles = np.arange(-60.0, 61.0, 20.0)
    simulation = simulate_series(
        "sea-mine", 24, angles, dose=400, shift_sigma_px=1.0, background=0.2, seed=2
    )
    io.write_series(tmp_path / "raw.mrc", simulation.series.evolve(poses=None))
    return tmp_path / "raw.mrc"


def worked(series: TiltSeries) -> TiltSeries:
    series = preprocess.subtract_background(series)
    series = preprocess.exclude_views(series, [1])
    series = align.align(series, ("xcorr", "axis"))
    return align.shift_by_hand(series, [3], [0.5], [-1.25])


def test_the_same_steps_give_the_same_series(stack: Path) -> None:
    series = worked(io.read_series(stack))
    kept.keep(stack, series, "one")
    found = kept.recall(stack, "two")
    assert found is not None
    again = series_of_record(stack, found)
    np.testing.assert_array_equal(again.images, series.images)
    np.testing.assert_array_equal(
        again.start_poses.as_array(), series.start_poses.as_array()
    )
    np.testing.assert_array_equal(again.mask, series.mask)
    assert [s.to_json() for s in again.history] == [s.to_json() for s in series.history]
    assert is_repeatable(series.history)
    assert not is_repeatable((*series.history, Step("edited_in_napari")))


def test_only_the_steps_of_others_are_offered_until_they_are_forgotten(
    stack: Path,
) -> None:
    raw = io.read_series(stack)
    first, second = preprocess.bin_images(raw, 2), preprocess.exclude_views(raw, [0])
    kept.keep(stack, first, "one")
    assert kept.recall(stack, "one") is None
    kept.keep(stack, second, "two")
    names = {
        who: [s.name for s in kept.recall(stack, who).history][-1]
        for who in ("one", "two", "three")
    }
    assert names == {"one": "exclude_views", "two": "bin_images", "three": names["one"]}
    kept.keep(stack, None, "two")  # took all of its steps back
    assert kept.recall(stack, "one") is None
    assert kept.recall(stack, "three").history[-1].name == "bin_images"
    kept.keep(stack, second, "two")
    kept.forget(stack, "two")
    assert kept.recall(stack, "two") is None
    assert kept.recall(stack, "one").history[-1].name == "exclude_views"
    kept.forget(stack, "three")
    assert kept.recall(stack, "one") is None


def test_nothing_is_offered_for_other_contents_or_from_a_spoilt_file(
    stack: Path, folder: Path
) -> None:
    series = preprocess.bin_images(io.read_series(stack), 2)
    kept.keep(stack, series, "one")
    os.utime(stack, (1, 1))
    assert kept.recall(stack, "two") is None
    kept.keep(stack, series, "one")
    assert kept.recall(stack, "two") is not None
    (file,) = (folder / "steps").glob("*.json")
    whole = file.read_text()
    for spoilt in ("{", "[]", '{"stamp": 1}', whole.replace('"poses"', '"pozes"')):
        file.write_text(spoilt)
        assert kept.recall(stack, "two") is None
    kept.keep(stack, series, "one")
    assert kept.recall(stack, "two") is not None
    stack.unlink()
    assert kept.recall(stack, "two") is None
    kept.keep(stack, series, "one")


def test_a_full_disk_costs_only_what_was_to_be_kept(
    stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    series = preprocess.bin_images(io.read_series(stack), 2)
    with monkeypatch.context() as patched:
        patched.setattr(atomic, "write_json", full)
        kept.keep(stack, series, "one")
    assert kept.recall(stack, "two") is None


def test_the_steps_on_a_folder_of_images(tmp_path: Path, folder: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for angle in (-10, 0, 10):
        np.save(images / f"a_{angle}.npy", np.zeros((4, 4)))
    series = TiltSeries(np.ones((3, 4, 4), np.float32), [-10.0, 0.0, 10.0])
    kept.keep(images, series.evolve(Step("bin_images")), "one")
    assert kept.recall(images, "two") is not None
    np.save(images / "a_20.npy", np.zeros((4, 4)))
    assert kept.recall(images, "two") is None


def test_a_folder_that_somebody_has_looked_into_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = tmp_path / "Tilts"
    images.mkdir()
    for name in ("a.tif", "b.tif"):
        (images / name).write_bytes(b"pixels")
    series = TiltSeries(np.ones((2, 3, 4), np.float32), [0, 5], history=(Step("x"),))
    monkeypatch.setattr(os.path, "normcase", lambda name: str(name).lower())
    kept.keep(images, series, "one")
    for name in (".DS_Store", "Thumbs.db"):
        (images / name).write_bytes(b"a picture of it")
        assert kept.recall(images, "two") is not None
    stamp = kept._stamp(images)
    monkeypatch.setattr(kept, "_stamp", lambda _: stamp)
    assert kept.recall(tmp_path / "tilts", "two") is not None


def test_what_another_window_reads_just_now_goes_later(
    stack: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "FILES", 0)
    monkeypatch.setattr(atomic, "BUSY_S", 0.02)
    series = preprocess.bin_images(io.read_series(stack), 2)
    with monkeypatch.context() as read:
        read.setattr(os, "unlink", InUse(os.unlink, "*.json"))
        kept.keep(stack, series, "one")
    assert list((folder / "steps").iterdir()) != []
    kept.keep(stack, series, "two")
    assert list((folder / "steps").iterdir()) == []


def test_the_oldest_go(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "FILES", 3)
    series = TiltSeries(np.ones((1, 4, 4), np.float32), [0.0])
    for k in range(5):
        stack = tmp_path / f"{k}.mrc"
        stack.write_bytes(b"x")
        kept.keep(stack, series.evolve(Step("bin_images")), "one")
        for age, file in enumerate(sorted((folder / "steps").glob("*.json"))):
            os.utime(file, (1000 * k + age, 1000 * k + age))
    assert len(list((folder / "steps").glob("*.json"))) == 3
    assert kept.recall(tmp_path / "4.mrc", "two") is not None


def test_the_pass_of_every_tilt_is_kept(stack: Path) -> None:
    series = preprocess.exclude_views(io.read_series(stack), [1])
    groups = np.arange(len(series)) % 2
    kept.keep(stack, series.evolve(None, group=groups), "one")
    found = kept.recall(stack, "two")
    assert found is not None
    np.testing.assert_array_equal(found.original_group, groups)
    kept.keep(stack, series, "one")
    found = kept.recall(stack, "two")
    assert found is not None
    assert found.original_group is None
