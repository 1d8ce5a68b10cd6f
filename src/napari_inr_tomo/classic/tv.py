"""Total variation: the sharpest volume that explains the data, from few tilts."""

from __future__ import annotations

import torch

from napari_inr_tomo.classic.projector import Projector
from napari_inr_tomo.classic.sirt import Callback, inverse_sums, prepare, sirt

START_ITERATIONS = 20
"""Momentum SIRT iterations that give the start and the scale of the data."""

SLAB_VOXELS = 1 << 18
"""Voxels worked on at a time, so that a processor's cache holds what a step needs."""

STRENGTH = 0.4
"""Weight 1 in units of the noise a voxel collects; measured on phantoms."""

BALANCE = 0.5
"""Primal against dual step length; sets the speed only."""


def gradient(volume: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Return forward differences (3, z, y, x) in ``out``, 0 at the far faces.

    ``volume`` may have one plane more than ``out``: the one behind a slab.
    """
    planes, steps = out.shape[1], len(volume) - 1
    torch.sub(volume[1:], volume[:-1], out=out[0, :steps])
    out[0, steps:].zero_()
    volume = volume[:planes]
    torch.sub(volume[:, 1:], volume[:, :-1], out=out[1, :, :-1])
    out[1, :, -1].zero_()
    torch.sub(volume[:, :, 1:], volume[:, :, :-1], out=out[2, :, :, :-1])
    out[2, :, :, -1].zero_()
    return out


def add_transposed_gradient(dual: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Add the adjoint of `gradient` applied to (3, z, y, x) to ``out``, (z, y, x).

    ``dual`` is 0 at the far faces, as a gradient is, and may have one plane more than
    ``out``: the one before a slab.
    """
    before = dual.shape[1] - len(out)
    for component in dual[:, before:]:
        out -= component
    out[1 - before :] += dual[0, : len(out) - 1 + before]
    out[:, 1:] += dual[1, before:, :-1]
    out[:, :, 1:] += dual[2, before:, :, :-1]
    return out


def density_scale(volume: torch.Tensor) -> float:
    """Return the typical density of matter: the mean of a volume weighted by itself."""
    mass = float(volume.clamp(min=0).sum(dtype=torch.float64))
    power = float((volume.clamp(min=0) ** 2).sum(dtype=torch.float64))
    return power / mass if mass > 0 else 1.0


def noise_level(images: torch.Tensor, usable: torch.Tensor) -> float:
    """Return the standard deviation of white noise in (tilt, y, x) images.

    From fourth differences in both directions, which smooth content hardly passes;
    sharp edges are counted as noise.
    Source: J. Immerkaer, Comput. Vis. Image Underst. 64 (1996) 300, with a longer mask.
    """
    if min(images.shape[1:]) < 5:
        return 0.0
    mask = images.new_tensor([1.0, -4.0, 6.0, -4.0, 1.0]) / 70**0.5
    kernel = (mask[:, None] * mask)[None, None]
    rough = torch.nn.functional.conv2d(images[:, None], kernel)
    whole = torch.nn.functional.conv2d(usable[:, None], torch.ones_like(kernel)) > 24.5
    count = int(whole.sum())
    power = float((rough**2 * whole).sum(dtype=torch.float64))
    return (power / count) ** 0.5 if count else 0.0


def tv(
    projector: Projector,
    images: torch.Tensor,
    iterations: int = 100,
    weight: float = 1.0,
    valid: torch.Tensor | None = None,
    callback: Callback | None = None,
    support: torch.Tensor | None = None,
    start_iterations: int = START_ITERATIONS,
    start: torch.Tensor | None = None,
    state: dict[str, torch.Tensor] | None = None,
    positivity: bool = True,
) -> torch.Tensor:
    """Return the x with the least ``|b - A x|^2 / 2 + limit * TV(x)``.

    With densities in units of the specimen's own (`density_scale`), ``limit`` is
    ``weight * 0.4 * noise * sqrt(tilts)``: the noise that back-projection collects in
    a voxel, measured on the images (`noise_level`).  So the same weight does for any
    intensity unit, number of tilts and noise; 1 was good on phantoms with 10 counts to
    no noise at all, a third of it keeps more detail, three times is smoother.
    TV is isotropic; the edges of the box cost nothing.  positivity: only x >= 0.

    images: (tilt, y, x).  valid: (tilt, y, x) bool; other pixels are ignored, and so
    are those that are not finite.  support: (z, y, x) bool; voxels outside stay 0.
    callback: see `napari_inr_tomo.classic.sirt.Callback`; its iteration is 0 during the
    start.  start_iterations: of momentum SIRT, for the start and the scale of the data.
    start: (z, y, x) volume of such an SIRT, in the units of the images, made before.
    state: empty, and after every iteration what a later call with the same images and
    weight goes on from; both change its arrays.  See `state_like`.
    Source: Chambolle and Pock, J. Math. Imaging Vis. 40 (2011) 120; step lengths:
    Pock and Chambolle, ICCV 2011, 1762.
    """
    data, usable = prepare(projector, images, valid)
    state = {} if state is None else state
    if start is None and not state:
        start = sirt(
            projector,
            images,
            start_iterations,
            positivity,
            valid=valid,
            callback=callback and (lambda _, *rest: callback(0, *rest)),
            momentum=True,
            support=support,
        )
    if start is not None and not state:
        density = torch.tensor(density_scale(start), dtype=torch.float64)
        volume = start / float(density)
        state |= {"scale": density, "volume": volume, "ahead": volume.clone()}
        state["dual"] = volume.new_zeros((3, *volume.shape))
        state["ray_dual"] = torch.zeros_like(data)
    start, volume, ray_dual = None, state["volume"], state["ray_dual"]
    scale = float(state["scale"])
    data /= scale
    ones = torch.ones_like(volume)
    noise = noise_level(data, usable)
    limit = max(weight * STRENGTH * noise * len(projector) ** 0.5, 1e-6)
    ray_step = inverse_sums(projector.forward(ones)) * usable / BALANCE
    step = BALANCE / (projector.adjoint(usable).clamp(min=0) + 6)
    if support is not None:
        step *= support.to(step)
    descent = _Descent(state, step, limit, 0.0 if positivity else None)
    norm = float(torch.linalg.vector_norm(data)) or 1.0
    projected = projector.forward(volume)
    state.setdefault("ray_ahead", projected)
    for iteration in range(1, iterations + 1):
        ray_dual += ray_step * (state["ray_ahead"] - data)
        ray_dual /= 1 + ray_step
        ray_dual *= usable
        volume = descent(projector.adjoint(ray_dual))
        new_projected = projector.forward(volume)
        state["ray_ahead"] = 2 * new_projected - projected
        projected = new_projected
        residual = torch.linalg.vector_norm((data - projected) * usable)
        if callback is not None and callback(
            iteration, volume * scale, float(residual) / norm
        ):
            break
    return volume * scale


def state_like(
    shape_zyx: tuple[int, ...], shape_tyx: tuple[int, ...]
) -> dict[str, torch.Tensor]:
    """Return what `tv` keeps in its ``state``, without content.

    scale: the density of the specimen, which all the others are in units of; volume,
    ahead: (z, y, x), and where it is going; dual: (3, z, y, x), of the gradient;
    ray_dual: (tilt, y, x), of the rays; ray_ahead: the projections of ``ahead``.
    """
    like = dict.fromkeys(("volume", "ahead"), torch.empty(shape_zyx, device="meta"))
    like["dual"] = torch.empty((3, *shape_zyx), device="meta")
    rays = torch.empty(shape_tyx, device="meta")
    like |= dict.fromkeys(("ray_dual", "ray_ahead"), rays)
    return like | {"scale": torch.empty((), dtype=torch.float64, device="meta")}


class _Descent:
    """The steps of the gradient's dual and of the volume, slab by slab.

    All the arrays are visited once, a slab small enough for a cache at a time, and
    nothing is allocated: memory traffic is what these steps cost.
    """

    def __init__(
        self,
        state: dict[str, torch.Tensor],
        step: torch.Tensor,
        limit: float,
        least: float | None,
    ) -> None:
        """least: the least value a voxel may have, if there is one."""
        volume, self._least = state["volume"], least
        self._volume, self._step, self._limit = volume, step, limit
        self._ahead, self._dual = state["ahead"], state["dual"]
        most = SLAB_VOXELS if volume.device.type == "cpu" else volume.numel()
        self._planes = max(1, most // volume[0].numel())
        self._buffer = self._dual[:, : self._planes].clone()

    def __call__(self, descent: torch.Tensor) -> torch.Tensor:
        """Return the volume after a step; ``descent`` is that of the rays, and lost."""
        depth = len(self._volume)
        for first in range(0, depth, self._planes):
            slab = slice(first, min(first + self._planes, depth))
            self._raise_dual(slab)
            dual = self._dual[:, max(first - 1, 0) : slab.stop]
            down = add_transposed_gradient(dual, descent[slab]).mul_(self._step[slab])
            volume, ahead = self._volume[slab], self._ahead[slab]
            # ahead = 2 new - old, in place
            torch.sub(volume, down, out=down)
            if self._least is not None:
                down.clamp_(min=self._least)
            torch.sub(down, volume, out=ahead).add_(down)
            volume.copy_(down)
        return self._volume

    def _raise_dual(self, slab: slice) -> None:
        dual = self._dual[:, slab]
        buffer = self._buffer[:, : dual.shape[1]]
        beyond = self._ahead[slab.start : slab.stop + 1]
        dual.add_(gradient(beyond, buffer), alpha=0.5 / BALANCE)
        size = torch.mul(dual[0], dual[0], out=buffer[0])
        size.addcmul_(dual[1], dual[1]).addcmul_(dual[2], dual[2]).sqrt_()
        dual *= size.clamp_(min=self._limit).reciprocal_().mul_(self._limit)
