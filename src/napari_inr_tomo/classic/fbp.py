"""Filtered back-projection at any pose."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from napari_inr_tomo.classic.axis_frame import groups
from napari_inr_tomo.classic.linear import chunks, multiply, to_torch
from napari_inr_tomo.classic.projector import Projector
from napari_inr_tomo.classic.resample import rotation_matrix
from napari_inr_tomo.classic.sirt import prepare
from napari_inr_tomo.parallel2d import (
    FilterName,
    backprojection_matrix,
    ramp_response,
    tilt_weights,
)


def fbp(
    projector: Projector,
    images: torch.Tensor,
    filter: FilterName = "ramp",
    valid: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the filtered back-projection (z, y, x), in intensity per voxel.

    The images are brought into the frame of the tilt axis, filtered across it and
    smeared back with linear interpolation.  Each tilt counts by the angle it stands
    for, so uneven steps are right; with a missing wedge the contrast is too low.

    images: (tilt, y, x).  valid: (tilt, y, x) bool; other pixels, and those that are
    not finite, are filled from the pixels around them: a hole would leave streaks.  A
    tilt without any other pixel counts as not taken.
    Source: Kak and Slaney, Principles of Computerized Tomographic Imaging, ch. 3.
    """
    images, usable = prepare(projector, images, valid)
    seen = usable.flatten(1).any(1).cpu().numpy()
    images = _filled(images, usable)
    lines = _filtered(_in_axis_frame(projector, images), filter)
    weights = np.zeros(len(projector))
    if seen.any():
        weights[seen] = tilt_weights(projector.angles_deg[seen])
    frame = projector.frame
    height, width = frame.shape_yx
    depth = projector.depth_px
    total = images.new_zeros(projector.shape_zyx)
    for z1, tilts in groups(frame.z1_deg):
        smear = _torch(
            projector,
            backprojection_matrix(
                projector.angles_deg[tilts],
                (depth, height),
                height,
                frame.across_px[tilts],
                weights[tilts],
                np.float64,
            ),
        )
        part = images.new_empty((depth, height, width))
        picked = lines[tilts]
        for piece in chunks(width, projector.device):
            slices = picked[:, :, piece].reshape(len(tilts) * height, -1)
            part[:, :, piece] = multiply(smear, slices).view(depth, height, -1)
        if part.shape != total.shape or z1 != 0:
            turn = rotation_matrix(-z1, frame.shape_yx, projector.image_shape_yx)
            columns = part.permute(1, 2, 0).reshape(height * width, depth)
            part = multiply(_torch(projector, turn), columns).t().reshape(total.shape)
        total += part
    return total


def _filled(images: torch.Tensor, usable: torch.Tensor) -> torch.Tensor:
    """Return the images with values for the pixels that are not usable (0.0).

    Every hole takes its values from images made half as large, again and again, until
    it is none; an image without any usable pixel stays 0.
    """
    if bool(usable.all()) or images[0].numel() == 1:
        return images
    pool, size = torch.nn.functional.avg_pool2d, images.shape[1:]
    share = pool(usable[:, None], 2, ceil_mode=True)[:, 0]
    total = pool((images * usable)[:, None], 2, ceil_mode=True)[:, 0]
    known = (share > 0).to(share)
    coarse = _filled(total / torch.where(share > 0, share, 1), known)
    around = torch.nn.functional.interpolate(coarse[:, None], size, mode="bilinear")
    return torch.where(usable > 0, images, around[:, 0])


def _in_axis_frame(projector: Projector, images: torch.Tensor) -> torch.Tensor:
    """Turn the images back by z3 and move them back along the tilt axis."""
    frame = projector.frame
    out = images.new_empty((len(projector), *frame.shape_yx))
    for z3, tilts in groups(frame.z3_deg):
        part = images[tilts]
        if z3 != 0 or frame.shape_yx != projector.image_shape_yx:
            turn = rotation_matrix(-z3, projector.image_shape_yx, frame.shape_yx)
            columns = part.reshape(len(tilts), -1).t().contiguous()
            part = multiply(_torch(projector, turn), columns).t()
        out[tilts] = part.reshape(len(tilts), *frame.shape_yx)
    return projector.shift_back(out)


def _filtered(lines: torch.Tensor, name: FilterName) -> torch.Tensor:
    """Filter (tilt, v, x) along v, in blocks of tilts to bound the memory."""
    count = lines.shape[1]
    response = torch.from_numpy(ramp_response(count, name)).to(lines)
    padded = 2 * (len(response) - 1)
    out = torch.empty_like(lines)
    for index in range(len(lines)):
        spectrum = torch.fft.rfft(lines[index], n=padded, dim=0) * response[:, None]
        out[index] = torch.fft.irfft(spectrum, n=padded, dim=0)[:count]
    return out


def _torch(projector: Projector, matrix: Any) -> torch.Tensor:
    return to_torch(matrix, projector.device, projector.dtype)
