"""What a step adds to the gradient: rays against pixels, and the total variation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_inr_tomo.config import LossSettings
from napari_inr_tomo.engine.data import Stack
from napari_inr_tomo.engine.distributed import Ranks
from napari_inr_tomo.engine.sampling import generator
from napari_inr_tomo.inr import Box, Field, LearnedPoses, pixel_loss, render
from napari_inr_tomo.inr.losses import total_variation
from napari_inr_tomo.inr.rendering import (
    Rays,
    occupied_at,
    ray_offsets,
    render_within,
    sample_points,
)

VARIATION = 17
"""Tells the random numbers of the total variation from those of the rays."""


@dataclass(frozen=True)
class Drawn:
    """What chance decides about a step, this rank's share of it.

    pixels: (ray,) flat pixel numbers; places: (ray, 1) where in its interval every
    sample of a ray lies; variation: (point,) pixel numbers whose rays the points of
    the total variation lie on, and depths: (point, 1) where on them, as fractions;
    all_rays: rays of all ranks together.
    """

    pixels: Tensor
    places: Tensor
    variation: Tensor
    depths: Tensor
    all_rays: int

    @property
    def tensors(self) -> list[Tensor]:
        """Everything but the count."""
        return [self.pixels, self.places, self.variation, self.depths]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of rays and points; steps of the same sizes do the same work."""
        return len(self.pixels), len(self.variation), self.all_rays

    def copied(self) -> Drawn:
        """Return the same in memory of its own."""
        pixels, places, variation, depths = (t.clone() for t in self.tensors)
        return Drawn(pixels, places, variation, depths, self.all_rays)


class StepGradient:
    """The loss of a step and its gradient; the shares of all ranks add up to one.

    tv_weight: alpha of equation 6.  tilt_error: (2, tilt) sums of the weighted squared
    residuals and of the weights since it was last set to zero.
    """

    def __init__(
        self,
        stack: Stack,
        field: Field,
        poses: LearnedPoses,
        box: Box,
        occupied: Tensor | None,
        loss: LossSettings,
        ranks: Ranks,
        seed: int,
        tv_weight: float,
    ) -> None:
        self.stack, self.field, self.poses = stack, field, poses
        self.box, self.occupied, self.loss = box, occupied, loss
        self.ranks, self.seed, self.tv_weight = ranks, seed, tv_weight
        self.compact = ranks.device.type == "cpu"
        """Leave out empty points of the total variation: on a GPU finding them would
        take longer than their evaluation."""
        self.tilt_error = torch.zeros(
            2, stack.tilts, dtype=torch.float64, device=ranks.device
        )

    def draw(self, pixels: Tensor, epoch: int, step: int) -> Drawn:
        """Return what chance decides about a step with these pixels of all ranks.

        The points of the total variation lie at random places on random rays.
        """
        device, dtype = self.ranks.device, self.stack.dtype
        mine = slice(self.ranks.rank, None, self.ranks.size)
        random = generator(device, self.seed, epoch, step)
        places = ray_offsets(len(pixels), 1, random, self.stack.images)[mine]
        varied = self.tv_weight > 0 and len(pixels) > 0
        count = self.loss.tv_points if varied else 0
        random = generator(device, self.seed, VARIATION, epoch, step)
        chosen = torch.randint(
            max(len(pixels), 1), (count,), generator=random, device=device
        )
        depths = torch.rand(count, 1, generator=random, dtype=dtype, device=device)
        variation = pixels[chosen[mine]] if count else pixels[:0]
        return Drawn(pixels[mine], places, variation, depths[mine], len(pixels))

    def add(
        self,
        drawn: Drawn,
        samples: int,
        points: int,
        share: float | None = None,
        between: Callable[[], None] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Add the gradient of this rank's share of the loss.

        samples: of every ray; points: in work at once.  share: the largest share of
        the samples of a chunk that can lie in occupied voxels; with it, no size depends
        on the data, and rays for whose samples there is no room are left out.  between:
        called after every chunk.
        Returns the mean pixel loss and the number of rays left out.
        """
        total = torch.zeros((), dtype=torch.float64, device=self.ranks.device)
        left_out = torch.zeros_like(total)
        for loss, missing in self._add_pixels(drawn, samples, points, share):
            total += loss
            left_out += missing
            if between is not None:
                between()
        if len(drawn.variation):
            self._add_variation(drawn, points)
        return total, left_out

    def occupied_share(self, drawn: Drawn, samples: int) -> float:
        """Return the share of the samples that lie in occupied voxels; waits for it."""
        if self.occupied is None:
            return 1.0
        rays, _, _ = self.stack.rays(drawn.pixels)
        inside = 0
        with torch.no_grad():
            for part in _chunks(len(rays), 1 << 14):
                places = drawn.places[part].expand(-1, samples)
                found, _ = sample_points(self.poses, rays[part], self.box, places)
                flat = found.reshape(-1, 3)
                inside += int(occupied_at(self.occupied, flat, self.box).sum())
        return inside / max(1, len(rays) * samples)

    def _add_pixels(
        self, drawn: Drawn, samples: int, points: int, share: float | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the loss of every chunk and its rays left out."""
        rays, target, weight = self.stack.rays(drawn.pixels)
        at_once = max(1, int(points / (samples * (share or 1.0))))
        for part in _chunks(len(rays), at_once):
            places = drawn.places[part].expand(-1, samples)
            known = self.field, self.poses, rays[part], self.box, places
            counts, left_out = weight[part], weight.new_zeros(())
            if share is None or self.occupied is None:
                predicted = render(*known, self.occupied)
            else:
                room = math.ceil(share * places.numel())
                predicted, fits = render_within(*known, self.occupied, room)
                left_out = (~fits).sum()
                counts = counts * fits
            residual = predicted - target[part]
            losses = counts * pixel_loss(residual, self.loss.kind, self.loss.beta)
            loss = losses.sum() / max(drawn.all_rays, 1)
            loss.backward()  # type: ignore[no-untyped-call]
            self._note_residual(rays[part], residual.detach(), counts)
            yield loss.detach(), left_out

    def _add_variation(self, drawn: Drawn, points: int) -> None:
        """Add the gradient of the weighted total variation of this rank's points.

        The mean is over all of them, points in empty voxels counting as zero.
        """
        count = self.loss.tv_points
        rays, _, _ = self.stack.rays(drawn.variation)
        with torch.no_grad():
            places, _ = sample_points(self.poses, rays, self.box, drawn.depths)
            places = places[:, 0]
            share = torch.ones_like(places[:, 0])
            if self.occupied is not None:
                inside = occupied_at(self.occupied, places, self.box)
                if self.compact:
                    places, share = places[inside], share[inside]
                else:
                    share = inside.to(share)
        for part in _chunks(len(places), max(1, points // 3)):
            lengths = share[part] * total_variation(self.field, places[part])
            weighted = self.tv_weight * lengths.sum() / count
            weighted.backward()  # type: ignore[no-untyped-call]

    def _note_residual(self, rays: Rays, residual: Tensor, weight: Tensor) -> None:
        squares = weight.double() * residual.double() ** 2
        self.tilt_error[0].index_add_(0, rays.tilt, squares)
        self.tilt_error[1].index_add_(0, rays.tilt, weight.double())

    @torch.no_grad()
    def middle_loss(self, pixels: Tensor, points: int) -> Tensor:
        """Return (2,): sums of weighted losses and of weights, sampled at the middle.

        points: in work at once; one sample per pixel of depth.
        """
        sums = torch.zeros(2, dtype=torch.float64, device=self.ranks.device)
        depth = self.box.shape_zyx[0]
        rays, target, weight = self.stack.rays(pixels)
        middle = torch.full_like(target, 0.5)[:, None].expand(-1, depth)
        for part in _chunks(len(rays), max(1, points // depth)):
            predicted = render(
                self.field, self.poses, rays[part], self.box, middle[part],
                self.occupied,
            )  # fmt: skip
            residual = predicted - target[part]
            losses = pixel_loss(residual, self.loss.kind, self.loss.beta)
            sums[0] += (weight[part] * losses).sum()
            sums[1] += weight[part].sum()
        return sums


def _chunks(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, start + size)
