"""Files as Windows and its network disks hold them while another program has them."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any


class InUse:
    """Refuses, so many times, to act on a file of one of these names."""

    def __init__(
        self, act: Callable[..., Any], names: str = "*", times: float = float("inf")
    ) -> None:
        self.act, self.names, self.left = act, names, times

    def __call__(self, *args: object, **options: object) -> Any:
        paths = [Path(word) for word in args if isinstance(word, str | Path)]
        if self.left > 0 and any(path.match(self.names) for path in paths):
            self.left -= 1
            raise PermissionError(errno.EACCES, "It is used by another process")
        return self.act(*args, **options)
