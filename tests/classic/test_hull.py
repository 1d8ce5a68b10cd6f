"""The visual hull keeps weak matter beside strong, and still carves what is empty."""

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from napari_inr_tomo.classic import Projector
from napari_inr_tomo.classic.hull import carved_share, hull
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.simulate.bodies import ball, ellipsoid
from napari_inr_tomo.simulate.phantoms import Phantom
from napari_inr_tomo.types import Poses

ANGLES = np.arange(-60, 61, 4.0)
SIZE = 40
BOX = (SIZE, SIZE, SIZE)
POSES = Poses.zeros(len(ANGLES))


def on_a_film(weak):
    """A ball on a film of a part of its density: projector, images, truth, film."""
    bodies = (
        ball((0, 0, 0), 0.25, 1.0),
        ellipsoid((0, 0, 0), (0.85, 0.85, 0.12), weak),
    )
    thing = Phantom("film", bodies, BOX)
    images, truth = thing.project(ANGLES, POSES), thing.voxelise()
    film = (truth >= 0.9 * weak) & (truth < 0.5)
    return Projector(ANGLES, POSES, BOX[1:], SIZE), images, truth, film


def counted(images, dose):
    scale = dose / images.max()
    return np.random.default_rng(0).poisson(images * scale) / scale


def noisy(images, noise):
    """Add the noise of a read-out, a part of the brightest pixel."""
    spread = np.random.default_rng(0).standard_normal(images.shape)
    return images + noise * images.max() * spread


def carved(projector, images):
    found = hull(projector, torch.tensor(images, dtype=torch.float32))
    return np.zeros(BOX, bool) if found is None else ~found.numpy()


@pytest.mark.parametrize("weak", [0.02, 0.005, 0.003])
def test_a_film_stays_whole_where_there_is_no_noise(weak):
    projector, images, truth, film = on_a_film(weak)
    gone = carved(projector, images)
    assert not gone[film].any()
    assert gone[truth == 0].mean() > 0.6


def test_a_film_stays_whole_at_a_thousand_counts():
    projector, images, truth, film = on_a_film(0.02)
    assert np.median(images[15][images[15] > 0]) < 0.01 * images.max()
    gone = carved(projector, counted(images, 1000))
    assert not gone[film].any()
    assert gone[truth == 0].mean() > 0.6


def test_a_film_is_seen_in_several_rays_where_it_is_not_in_one():
    """Read-out noise of a mean of 3 x 3 pixels is half of what the film measures."""
    projector, images, truth, film = on_a_film(0.02)
    gone = carved(projector, noisy(images, 0.01))
    assert gone[film].mean() < 0.02
    assert gone[truth == 0].mean() > 0.6


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_empty_space_is_carved_at_fifty_counts(noise):
    made = simulate_series("sea-mine", SIZE, ANGLES, dose=50)
    truth = made.truth.data
    projector = Projector(ANGLES, POSES, BOX[1:], SIZE)
    gone = carved(projector, noisy(made.series.images, noise))
    assert gone[truth == 0].mean() > 0.6
    assert truth[gone].sum() < 1e-3 * truth.sum()


def test_what_is_left_of_the_background_carves_less():
    projector, images, truth, _ = on_a_film(0.02)
    clean, hazy = carved(projector, images), carved(projector, images + 0.1)
    assert hazy[truth == 0].mean() < clean[truth == 0].mean()


def test_hidden_pixels_carve_nothing():
    """A bar that was masked says nothing of what lies behind it."""
    projector, images, truth, _ = on_a_film(0.02)
    valid = np.ones(images.shape, bool)
    valid[:, 16:24] = False
    seen = torch.tensor(np.where(valid, images, 0), dtype=torch.float32)
    found = hull(projector, seen, torch.from_numpy(valid)).numpy()
    assert found[truth > 0].all()
    assert not found[truth == 0].all()
    without = hull(projector, seen)
    assert without is None or not without.numpy()[truth > 0].all()


def shared_out(projector, images, matter):
    return carved_share(
        projector, torch.tensor(images, dtype=torch.float32), torch.from_numpy(matter)
    )


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_the_mass_that_was_carved_is_known(noise):
    projector, images, truth, _ = on_a_film(0.02)
    ball_only = binary_dilation(truth > 0.5, np.ones((3, 3, 3)))
    share = shared_out(projector, noisy(images, noise), ball_only)
    assert share == pytest.approx(truth[~ball_only].sum() / truth.sum(), rel=0.1)


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_no_mass_is_missed_where_the_hull_is_right(noise):
    projector, images, truth, _ = on_a_film(0.02)
    whole = binary_dilation(truth > 0, np.ones((3, 3, 3)))
    assert abs(shared_out(projector, noisy(images, noise), whole)) < 0.01
