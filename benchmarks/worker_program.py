"""One run of the engine in this process: ``python worker_program.py RUN OUT.json``.

Writes the processor seconds and the most memory the process had (start included).
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def peak_bytes() -> int:
    """Return the most memory this program had resident.

    Linux keeps the largest value in ``ru_maxrss`` across exec, that of the process that
    started this one; ``VmHWM`` is of this program alone.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> int:
    """Run the worker and write what it took."""
    from napari_inr_tomo.engine.worker import main as work

    code = work(sys.argv[1])
    took = {"cpu_s": time.process_time(), "peak_bytes": peak_bytes()}
    Path(sys.argv[2]).write_text(json.dumps(took), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
