"""The standard streams as they come: closed, full, or without the letters of a name."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from typing import TextIO

from napari_inr_tomo.errors import UserError


def prepare() -> None:
    """Let no stream end a command: a closed one swallows, a foreign letter is escaped.

    A file that takes the number of a closed stream would get what is said.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull)
    if sys.stdout is None:
        sys.stdout = _nowhere()
    if sys.stderr is None:
        sys.stderr = _nowhere()
    if getattr(sys.stdout, "errors", "") == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def write(text: str, flush: bool = False) -> None:
    """Print a line on the standard output; raises `UserError` where that is full."""
    try:
        print(text, flush=flush)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _full(error) from None


def write_error(text: str) -> None:
    """Print a line on the error output; what cannot be said there ends no work."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        sys.stderr = _nowhere()


def flush() -> None:
    """Write what is left of the answer; raises `UserError` where that cannot be."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _full(error) from None


def fault(error: Exception) -> str:
    """Return one line about an error nobody foresaw; the details go into a file."""
    kind = type(error).__name__
    why = f"{kind}, {error}" if str(error) else kind
    again = "Run it again once that is mended; if it is not yours to mend, report it"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="inr-tomo-", suffix=".log", delete=False, encoding="utf-8"
        ) as log:
            log.write("".join(traceback.format_exception(error)))
        again += f" with {log.name}, which holds the details"
    except OSError:
        pass
    return str(UserError("The command ended by an unforeseen error", why, again))


def _full(error: OSError) -> UserError:
    sys.stdout = _nowhere()  # what is left in it would fail once more at the end
    return UserError(
        "The answer cannot be written to the standard output",
        error.strerror or str(error),
        "Send it to another place; files that the command has written are whole",
    )


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")
