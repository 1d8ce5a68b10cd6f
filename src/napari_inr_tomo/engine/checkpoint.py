"""State on disk: plain arrays with a digest beside them, two kept, never pickle."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_inr_tomo import atomic

KEPT = 2


def save(folder: Path, step: int, arrays: dict[str, Tensor], info: Any) -> Path:
    """Write ``arrays`` and the JSON-able ``info`` as one checkpoint; return its path.

    The file appears whole or not at all; older ones beyond `KEPT` are removed after.
    """
    folder.mkdir(exist_ok=True)
    path = folder / f"step-{step:09d}.npz"
    values = {k: v.detach().cpu().numpy() for k, v in arrays.items()}
    values["info"] = np.frombuffer(json.dumps(info).encode(), np.uint8)
    with atomic.replacing(path) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, allow_pickle=False, **values)
    atomic.write_bytes(path.with_suffix(".sha256"), atomic.sha256(path).encode())
    for old in sorted(folder.glob("step-*.npz"))[:-KEPT]:
        old.with_suffix(".sha256").unlink(missing_ok=True)
        old.unlink(missing_ok=True)
    return path


def load(folder: Path) -> tuple[dict[str, Tensor], Any, list[str]] | None:
    """Return (arrays, info, names of damaged files passed over), newest good first.

    None when there is no usable checkpoint.
    """
    damaged = []
    for path in sorted(folder.glob("step-*.npz"), reverse=True):
        try:
            digest = path.with_suffix(".sha256").read_text().strip()
            if digest != atomic.sha256(path):
                raise ValueError("digest differs")
            with np.load(path, allow_pickle=False) as file:
                values = {k: file[k] for k in file.files}
        except (OSError, ValueError, zipfile.BadZipFile, KeyError):
            damaged.append(path.name)
            continue
        info = json.loads(values.pop("info").tobytes())
        return {k: torch.from_numpy(v) for k, v in values.items()}, info, damaged
    return None


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
    """Put back what `optimiser_arrays` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for path, value in arrays.items():
        head, *rest = path.split("/")
        if head == name and len(rest) == 2:
            state.setdefault(int(rest[0]), {})[rest[1]] = value
    whole = optimiser.state_dict()
    whole["state"] = state
    optimiser.load_state_dict(whole)
