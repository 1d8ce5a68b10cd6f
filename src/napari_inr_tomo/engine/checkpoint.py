"""State on disk: plain arrays with a digest beside them, two kept, never pickle."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_inr_tomo import atomic
from napari_inr_tomo.config import FieldSettings
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.inr import Box, build_field
from napari_inr_tomo.npz import read_npz

KEPT = 2

_Result = TypeVar("_Result")


class Damaged(Exception):
    """A file that is not what `save` wrote."""


def save(folder: Path, step: int, arrays: dict[str, Tensor], info: Any) -> Path:
    """Write ``arrays`` and the JSON-able ``info`` as one checkpoint; return its path.

    The file appears whole or not at all.  Others beyond `KEPT`, and those of later
    steps (damaged, or of a course that was given up), are removed after.
    """
    folder.mkdir(exist_ok=True)
    path = folder / f"step-{step:09d}.npz"
    values = {k: v.detach().cpu().numpy() for k, v in arrays.items()}
    values["info"] = np.frombuffer(json.dumps(info).encode(), np.uint8)
    with atomic.replacing(path) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, allow_pickle=False, **values)
    atomic.write_bytes(path.with_suffix(".sha256"), atomic.sha256(path).encode())
    others = sorted(folder.glob("step-*.npz"))
    here = others.index(path)
    _remove(others[: max(here + 1 - KEPT, 0)] + others[here + 1 :])
    return path


def clear(folder: Path) -> None:
    """Remove all checkpoints: nothing is to go on from them."""
    _remove(sorted(folder.glob("step-*.npz")))


def _remove(paths: list[Path]) -> None:
    for path in paths:  # one that somebody copies just now goes with the next save
        atomic.removed(path.with_suffix(".sha256"))
        atomic.removed(path)


def load(
    folder: Path, largest: int | None = None
) -> tuple[dict[str, Tensor], Any, list[str]] | None:
    """Return (arrays, info, names of damaged files passed over), newest good first.

    largest: bytes a checkpoint of this run can have; a larger file is not opened.
    None when there is no usable checkpoint.
    """
    damaged = []
    for path in sorted(folder.glob("step-*.npz"), reverse=True):
        try:
            values = _read(path, largest)
            info = json.loads(values.pop("info").tobytes())
        except Exception:  # noqa: BLE001 - whatever is wrong, the one before is used
            damaged.append(path.name)
            continue
        return {k: torch.from_numpy(v) for k, v in values.items()}, info, damaged
    return None


def _read(path: Path, largest: int | None) -> dict[str, NDArray[Any]]:
    """Return the arrays of one file, having checked that it cannot swell."""
    size = path.stat().st_size
    if largest is not None and size > largest:
        raise Damaged(f"{size} bytes are more than this run can have written")
    with open(path.with_suffix(".sha256"), encoding="ascii") as handle:
        digest = handle.read(100).strip()
    if digest != atomic.sha256(path):
        raise Damaged("its content does not match its digest")
    return read_npz(path)


def largest(settings: FieldSettings, box: Box, tilts: int) -> int:
    """Return the bytes a checkpoint with these settings can have, generously.

    Weights, their best state and two moments in 64 bits, the occupied voxels, poses.
    """
    field = build_field(settings, max(box.shape_zyx), 0)
    weights = sum(parameter.numel() for parameter in field.parameters())
    return 40 * weights + math.prod(box.shape_zyx) + 2000 * tilts + 1_000_000


def fitting(use: Callable[..., _Result], *args: Any) -> _Result:
    """Return ``use(*args)``; `UserError` where a checkpoint is not of this run."""
    try:
        return use(*args)
    except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
        raise UserError(
            "The checkpoint does not belong to this run",
            " ".join(str(error).split())[:300] or type(error).__name__,
            "Remove the folder checkpoints in the run folder to start afresh",
        ) from error


def same_shapes(wanted: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    """Raise ValueError where an array is missing or of another shape."""
    for name, tensor in wanted.items():
        if name not in found:
            raise ValueError(f"{name} is missing")
        if found[name].shape != tensor.shape:
            have, want = tuple(found[name].shape), tuple(tensor.shape)
            raise ValueError(f"{name} has the shape {have}, not {want}")


def optimiser_arrays(name: str, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the tensors of an optimiser's state under flat names."""
    arrays = {}
    for index, state in optimiser.state_dict()["state"].items():
        for key, value in state.items():
            arrays[f"{name}/{index}/{key}"] = torch.as_tensor(value)
    return arrays


def restore_optimiser(
    name: str, optimiser: torch.optim.Optimizer, arrays: dict[str, Tensor]
) -> None:
    """Put back what `optimiser_arrays` returned; ValueError where it does not fit."""
    state: dict[int, dict[str, Tensor]] = {}
    for path, value in arrays.items():
        head, *rest = path.split("/")
        if head == name and len(rest) == 2:
            state.setdefault(int(rest[0]), {})[rest[1]] = value
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    for index, values in state.items():
        if not 0 <= index < len(parameters):
            raise ValueError(f"{name} has no parameter {index}")
        for key, value in values.items():
            if value.ndim and value.shape != parameters[index].shape:
                raise ValueError(f"{name}/{index}/{key} is of another shape")
    whole = optimiser.state_dict()
    whole["state"] = state
    optimiser.load_state_dict(whole)
