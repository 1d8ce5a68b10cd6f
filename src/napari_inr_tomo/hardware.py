"""What there is to compute on, asked without importing torch."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

_ANSWER_S = 15.0
_FOR_CARDS = re.compile(r"^cuda\b.*=\s*['\"]", re.M)


def cores() -> int:
    """Return the number of cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def visible_gpus() -> int:
    """Return the number of NVIDIA cards the workers may use; imports no torch."""
    if shutil.which("nvidia-smi") is None or not torch_knows_cards():
        return 0
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        names = [name.strip() for name in chosen.split(",")]
        return next((i for i, n in enumerate(names) if n in ("", "-1")), len(names))
    return sum(line.startswith("GPU ") for line in nvidia_smi("-L"))


def torch_knows_cards() -> bool:
    """Return whether the installed torch is built for NVIDIA cards; imports no torch.

    Its version does not tell: what pip installs on Windows is built for processors and
    has a plain number.
    """
    try:
        found = find_spec("torch")
        if found is None or found.origin is None:
            return False
        text = (Path(found.origin).parent / "version.py").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    return _FOR_CARDS.search(text) is not None


def nvidia_smi(*options: str) -> list[str]:
    """Return the lines that nvidia-smi prints, none where it is missing or hangs."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        answer = subprocess.run(
            [tool, *options],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_S,
            check=False,  # one lost card is an error, and the others are told
            # else Windows opens a console for it where napari has none
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line for line in answer.stdout.splitlines() if line.strip()]
