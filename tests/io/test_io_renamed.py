"""An aligned stack under another name, and its .xf among those of IMOD."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_inr_tomo.io import (
    read_alignment,
    read_series,
    recorded_alignment,
    write_alignment,
    write_series,
    write_xf,
)
from napari_inr_tomo.types import Alignment, Poses, Step, TiltSeries

ANGLES = np.array([-30.0, -10.0, 10.0, 31.0])
IMAGES = np.random.default_rng(2).random((4, 21, 30)).astype(np.float32)
POSES = Poses.from_axis(4, 3.0, 1.5, -2.0)
USED = np.array([True, True, False, True])


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    valid = np.ones(IMAGES.shape, bool)
    valid[0, 3, 4] = False
    history = (Step("done", {}),)
    series = TiltSeries(IMAGES, ANGLES, POSES, USED, valid, history=history)
    return write_series(tmp_path / "al.mrc", series)[0]


def renamed(stack: Path, name: str, old: bool = False) -> Path:
    """Rename all files of a stack; old: as an earlier version wrote its record."""
    for file in stack.parent.glob("al.*"):
        file.rename(file.with_name(name + file.name.removeprefix("al")))
    record = stack.with_name(f"{name}.json")
    if old:
        value = json.loads(record.read_text())
        del value["pixels_sha256"]
        record.write_text(json.dumps(value))
    return stack.with_name(f"{name}.mrc")


@pytest.mark.parametrize("old", [False, True])
def test_all_files_renamed_together(stack: Path, old: bool) -> None:
    before = read_series(stack)
    path = renamed(stack, "final", old)
    again = read_series(path)
    assert again.history == before.history
    assert again.history[0].name == "done"
    np.testing.assert_array_equal(again.valid, before.valid)
    said = " ".join(again.notices)
    assert "final.json was written for al.mrc" in said
    assert "applied already" in said
    assert "not applied" not in said
    recorded = recorded_alignment(path)
    np.testing.assert_array_equal(recorded.poses.as_array(), POSES.as_array())
    found = read_alignment(path.with_suffix(".xf")).poses
    np.testing.assert_allclose(found.z3_deg, 3.0, atol=1e-4)
    with pytest.raises(Exception, match="stack beside it"):
        write_alignment(path.with_suffix(".xf"), Alignment(POSES, ANGLES))


@pytest.mark.parametrize("old", [False, True])
def test_a_record_of_other_images_is_not_taken(stack: Path, old: bool) -> None:
    path = renamed(stack, "final", old)
    if old:  # nothing but the shape and the angles can tell
        np.savetxt(path.with_suffix(".tlt"), [1, 2, 3])
    else:
        path.unlink()
        tifffile.imwrite(path.with_suffix(".tif"), IMAGES[:3], photometric="minisblack")
        path = path.with_suffix(".tif")
    again = read_series(path)
    assert again.history == ()
    assert not any("is used." in notice for notice in again.notices)


def test_the_record_of_another_file_that_is_there_is_not_taken(stack: Path) -> None:
    record = json.loads((stack.parent / "al.json").read_text())
    del record["pixels_sha256"]
    (stack.parent / "al.json").write_text(json.dumps(record))
    tifffile.imwrite(stack.with_suffix(".tif"), IMAGES[:3], photometric="minisblack")
    assert read_series(stack.with_suffix(".tif")).history == ()
    assert read_series(stack).history[0].name == "done"


def test_an_xf_is_told_by_its_numbers_and_not_by_its_name(stack: Path) -> None:
    own = stack.with_suffix(".xf")
    copy = stack.with_name("copy.xf")
    copy.write_bytes(own.read_bytes())
    np.testing.assert_allclose(read_alignment(copy).poses.z3_deg, 3.0, atol=1e-4)
    write_xf(own, POSES.take(USED))  # IMOD has aligned it anew, its axis along y
    np.testing.assert_allclose(read_alignment(own).poses.z3_deg, 3.0, atol=1e-4)
