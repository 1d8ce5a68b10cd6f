"""What was done to one series is done to another, tilt by tilt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_inr_tomo import runs
from napari_inr_tomo.acquire import Recipe
from napari_inr_tomo.align import align, set_tilt_axis
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess import (
    bin_images,
    exclude_views,
    mask_outliers,
    subtract_background,
)
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import Step, TiltSeries

ANGLES = np.arange(-40, 41, 10.0)


@pytest.fixture(scope="module")
def raw() -> TiltSeries:
    return simulate_series(
        "chiral", (48, 52), ANGLES, dose=300, background=0.2, margin=0.3, seed=2
    ).series


def prepared(series: TiltSeries) -> TiltSeries:
    series = exclude_views(bin_images(series, 2), [1])
    return subtract_background(mask_outliers(series))


def test_a_recipe_holds_the_steps_the_axis_and_the_excluded_angles(
    raw: TiltSeries, tmp_path: Path
) -> None:
    done = set_tilt_axis(align(prepared(raw), ("xcorr",)), 5.0, 1.5)
    recipe = Recipe.of(done)
    assert [step.name for step in recipe.first] == ["bin_images"]
    names = [step.name for step in recipe.rest]
    assert names == ["mask_outliers", "subtract_background"]
    assert recipe.excluded_deg == (-30.0,)
    assert (recipe.axis_deg, recipe.axis_shift_px) == pytest.approx((5.0, 1.5))
    again = recipe.applied(recipe.reduced(raw))
    np.testing.assert_array_equal(again.images, done.images)
    np.testing.assert_array_equal(again.mask, done.mask)
    recipe.save(tmp_path / "recipe.json")
    assert Recipe.load(tmp_path / "recipe.json") == recipe
    config = ReconstructionConfig.from_preset("preview")
    run = runs.create_run(tmp_path / "run", done, config)
    assert Recipe.load(run.path) == recipe


def test_what_cannot_be_done_again_is_said(raw: TiltSeries) -> None:
    mask = np.zeros(raw.images.shape[1:], bool)
    mask[10:20] = True
    degrees = [(1, 2)] * (len(raw) - 1) + [(2, 1)]
    done = subtract_background(raw, degrees, mask=mask)
    recipe = Recipe.of(done.evolve(Step("edited_in_napari")))
    assert len(recipe.left_out) == 3
    assert recipe.rest[0].parameters["mask"] is None
    np.testing.assert_array_equal(
        recipe.applied(raw).images, subtract_background(raw, (2, 2)).images
    )


def test_never_fewer_than_two_tilts(raw: TiltSeries) -> None:
    recipe = Recipe(excluded_deg=tuple(ANGLES[1:]))
    assert recipe.applied(raw).mask.all()


def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path) -> None:
    for text in ("{", '{"kind": "tilt series"}', "[]"):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(UserError, match="recipe"):
            Recipe.load(tmp_path / "a.json")
