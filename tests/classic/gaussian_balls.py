"""Clusters of Gaussian balls: their projections are known exactly at any pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_inr_tomo.geometry import centred, project_points


@dataclass(frozen=True)
class Cluster:
    """Balls of one width at points (x, y, z), pixels about the centre."""

    points_xyz: np.ndarray
    heights: np.ndarray
    sigma_px: float

    @classmethod
    def random(cls, reach_xyz, sigma_px=2.0, count=6, seed=0):
        rng = np.random.default_rng(seed)
        points = rng.uniform(-1, 1, (count, 3)) * np.asarray(reach_xyz)
        return cls(points, rng.uniform(0.5, 1.5, count), sigma_px)

    def volume(self, shape_zyx):
        z, y, x = (centred(n) for n in shape_zyx)
        total = np.zeros(shape_zyx)
        for (px, py, pz), height in zip(self.points_xyz, self.heights, strict=True):
            square = (z[:, None, None] - pz) ** 2 + (y[:, None] - py) ** 2
            total += height * np.exp(-(square + (x - px) ** 2) / 2 / self.sigma_px**2)
        return total

    def images(self, angles_deg, poses, shape_yx):
        landed = project_points(self.points_xyz, angles_deg, poses)
        y, x = (centred(n) for n in shape_yx)
        images = np.zeros((len(landed), *shape_yx))
        length = np.sqrt(2 * np.pi) * self.sigma_px
        for image, places in zip(images, landed, strict=True):
            for (px, py), height in zip(places, self.heights, strict=True):
                square = (y[:, None] - py) ** 2 + (x - px) ** 2
                image += height * length * np.exp(-square / 2 / self.sigma_px**2)
        return images


def relative_error(found, wanted):
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
