"""The command ``inr-tomo``: every step of the window, without a display."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0, or 2 with one line on the error output: what is wrong, why, what to do.
    arguments: of a caller in Python, who gets errors that nobody foresaw as they are;
    none: those of the process.
    """
    import typer

    from napari_inr_tomo.cli import streams
    from napari_inr_tomo.cli.app import app
    from napari_inr_tomo.errors import UserError

    command = typer.main.get_command(app)
    # typer carries its own copy of click in some versions and imports it in others
    problems: Any = next(c for c in typer.BadParameter.__mro__ if "Click" in c.__name__)
    words = None if arguments is None else list(arguments)
    streams.prepare()
    try:
        status = command.main(words, prog_name="inr-tomo", standalone_mode=False)
        streams.flush()
    except UserError as error:
        text = str(error)
    except problems as error:
        text = f"{error.format_message().rstrip('.')}. See inr-tomo --help."
    except (KeyboardInterrupt, typer.Abort):
        text = "Interrupted."
    except BrokenPipeError:  # the reader of our output has gone
        sys.stdout = None
        return 0
    except Exception as error:
        if arguments is not None:
            raise
        text = streams.fault(error)
    else:
        return status if isinstance(status, int) else 0
    streams.write_error(" ".join(text.split()))
    return 2
