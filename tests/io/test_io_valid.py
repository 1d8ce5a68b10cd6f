"""Which pixels count: written beside an aligned stack, moved with it, read again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_inr_tomo.io import SERIES_OUT_SUFFIXES, read_series, write_series
from napari_inr_tomo.types import Poses, TiltSeries

SHAPE = (3, 31, 44)
ANGLES = np.array([-20.0, 0.0, 20.0])


def masked(poses: Poses) -> TiltSeries:
    """A flat image with a block that does not count, of another intensity."""
    images = np.ones(SHAPE, np.float32)
    valid = np.ones(SHAPE, bool)
    valid[:, 12:18, 25:33] = False
    images[~valid] = 50
    return TiltSeries(images, ANGLES, poses, valid=valid)


@pytest.mark.parametrize("suffix", SERIES_OUT_SUFFIXES)
def test_a_mask_comes_back(tmp_path: Path, suffix: str) -> None:
    series = masked(Poses.zeros(3))
    written = write_series(tmp_path / f"a{suffix}", series)
    assert written[-1] == tmp_path / "a.valid.npz"
    assert json.loads((tmp_path / "a.json").read_text())["valid"] == "a.valid.npz"
    again = read_series(tmp_path / f"a{suffix}")
    assert again.valid is not None
    np.testing.assert_array_equal(again.valid, series.valid)
    assert any("a.valid.npz masks 3.52%" in notice for notice in again.notices)


@pytest.mark.parametrize("axis_deg", [0.0, 25.0])
def test_it_moves_with_the_images(tmp_path: Path, axis_deg: float) -> None:
    """Whatever the block has got into, beyond the ringing of the spline, is masked."""
    poses = Poses.from_axis(3, axis_deg, 3.4, -2.0)
    write_series(tmp_path / "a.mrc", masked(poses))
    again = read_series(tmp_path / "a.mrc")
    assert again.valid is not None
    changed = np.abs(again.images - 1) > 12
    assert changed.any()
    assert not again.valid[changed].any()
    assert 48 <= (~again.valid[0]).sum() < 100


def test_pixels_without_a_number_stay_masked(tmp_path: Path) -> None:
    images = np.random.default_rng(1).random(SHAPE).astype(np.float32)
    images[1, 4:9, 5:7] = np.nan
    np.save(tmp_path / "raw.npy", images)
    raw = read_series(tmp_path / "raw.npy", ANGLES)
    write_series(tmp_path / "a.mrc", raw)
    again = read_series(tmp_path / "a.mrc")
    assert again.valid is not None
    np.testing.assert_array_equal(again.valid, np.isfinite(images))
    np.testing.assert_array_equal(again.images, raw.images)


def test_nothing_is_written_where_all_count_and_no_older_mask_is_left(
    tmp_path: Path,
) -> None:
    series = masked(Poses.zeros(3))
    write_series(tmp_path / "a.mrc", series)
    assert (tmp_path / "a.valid.npz").exists()
    whole = series.evolve(valid=np.ones(SHAPE, bool))
    assert len(write_series(tmp_path / "a.mrc", whole)) == 4
    assert not (tmp_path / "a.valid.npz").exists()
    assert read_series(tmp_path / "a.mrc").valid is None


@pytest.mark.parametrize("fault", ["gone", "cut", "other", "large"])
def test_a_mask_that_cannot_be_used_is_said(tmp_path: Path, fault: str) -> None:
    write_series(tmp_path / "a.mrc", masked(Poses.zeros(3)))
    mask = tmp_path / "a.valid.npz"
    if fault == "gone":
        mask.unlink()
    elif fault == "cut":
        mask.write_bytes(mask.read_bytes()[:-30])
    else:
        shape = (3, 31, 43) if fault == "other" else (300, 310, 440)
        np.savez_compressed(mask, valid=np.ones(shape, bool))
    again = read_series(tmp_path / "a.mrc")
    assert again.valid is None
    assert any("Masked pixels count" in notice for notice in again.notices)
