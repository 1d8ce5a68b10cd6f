"""Pixels outside, [-1, 1] inside: lattices lie where the geometry puts the voxels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_inr_tomo.geometry import centred
from napari_inr_tomo.inr import Box
from napari_inr_tomo.inr.rendering import occupied_at

SHAPE = (5, 8, 13)
LIKE = torch.zeros(1, dtype=torch.float64)


@pytest.mark.parametrize("chunk", [7, 1000])
def test_the_lattice_is_that_of_the_voxels(chunk) -> None:
    box = Box(SHAPE)
    z, y, x = np.meshgrid(*(centred(n) for n in SHAPE), indexing="ij")
    wanted = np.stack([x, y, z], -1).reshape(-1, 3) * 2 / 13
    parts = list(box.lattice(1, chunk, LIKE))
    assert [part.start for part, _ in parts] == list(range(0, wanted.shape[0], chunk))
    found = torch.cat([points for _, points in parts])
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    number = torch.arange(np.prod(SHAPE)).reshape(SHAPE)
    assert torch.equal(occupied_at(number, found, box), number.reshape(-1))
    assert box.half_xyz(LIKE).tolist() == [6.5, 4.0, 2.5]


@pytest.mark.parametrize("step", [2, 3, 4])
def test_a_coarser_cell_is_occupied_by_the_voxels_in_it(step) -> None:
    """To half a voxel where the side is no whole number of cells."""
    box = Box(SHAPE)
    shape = box.coarse_shape(step)
    assert shape == tuple(-(-n // step) for n in SHAPE)
    places = torch.cat([p for _, p in box.lattice(step, 50, LIKE)]) / box.unit
    assert places.mean(0).abs().max() < 1e-9
    for voxel in np.ndindex(SHAPE):
        fine = torch.zeros(SHAPE, dtype=torch.bool)
        fine[voxel] = True
        (cell,) = box.coarse(fine, step).reshape(-1).nonzero()
        at = [centred(n)[i] for n, i in zip(SHAPE, voxel, strict=True)][::-1]
        assert (places[cell[0]] - torch.tensor(at)).abs().max() <= step / 2
    assert box.coarse(fine, 1) is fine


@pytest.mark.parametrize("beyond", [0.0, 0.4, 30.0])
def test_a_point_on_a_face_or_outside_belongs_to_the_outermost_voxel(beyond) -> None:
    box = Box(SHAPE)
    number = torch.arange(np.prod(SHAPE)).reshape(SHAPE)
    half = box.half_xyz(LIKE) + beyond
    corners = torch.stack([-half, half]) * box.unit
    found = occupied_at(number, corners, box)
    assert found.tolist() == [0, int(number[-1, -1, -1])]
