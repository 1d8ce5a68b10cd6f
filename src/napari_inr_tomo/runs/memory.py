"""Whether a run fits into the memory, asked before it starts.

Main memory and the memory of NVIDIA cards (through nvidia-smi) are compared with
`estimate`.  A run that is larger than the machine is refused; one that is larger than
what is free now is started, with a warning: what others hold may come back.
"""

from __future__ import annotations

from dataclasses import dataclass

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.hardware import nvidia_smi
from napari_inr_tomo.runs.estimates import in_words

TIP = "Bin the images, choose a smaller depth or network, or use fewer processes"


@dataclass(frozen=True)
class Memory:
    """Bytes of one kind of memory, and what it is called."""

    name: str
    total: int
    free: int


def main_memory() -> Memory:
    """Return the main memory of this computer."""
    import psutil

    found = psutil.virtual_memory()
    return Memory("main memory", int(found.total), int(found.available))


def card_memory() -> list[Memory]:
    """Return the memory of every NVIDIA card, [] where that cannot be asked."""
    query = ["--query-gpu=memory.total,memory.free", "--format=csv,noheader,nounits"]
    rows = [line.split(",") for line in nvidia_smi(*query)]
    try:
        mib = [(int(total), int(free)) for total, free in rows]
    except ValueError:
        return []
    return [
        Memory(f"memory of GPU {i}", total << 20, free << 20)
        for i, (total, free) in enumerate(mib)
    ]


def check_fit(need_bytes: int, memories: list[Memory]) -> UserError | None:
    """Raise `UserError` where a run cannot fit; return one where it may not.

    need_bytes: of one memory each, that of the main memory for all processes together.
    """
    doubt = None
    for memory in memories:
        if need_bytes > memory.total:
            raise UserError(
                "There is not enough memory for this reconstruction",
                f"it needs about {in_words(need_bytes)}, and the {memory.name} has "
                f"{in_words(memory.total)}",
                TIP,
            )
        if need_bytes > memory.free:
            doubt = UserError(
                "The memory may not suffice",
                f"the run needs about {in_words(need_bytes)}, and "
                f"{in_words(memory.free)} of the {memory.name} are free",
                f"Close other programs. {TIP}",
            )
    return doubt
