"""One step at a time in a worker thread, with napari's activity dock and plain errors.

Nothing is computed in the GUI thread; a `UserError` is shown in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.ui.series_layer import EDITED, STACK_LABELS

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_inr_tomo.types import TiltSeries
    from napari_inr_tomo.ui.session import Session


def start_job(
    session: Session,
    label: str,
    function: Callable[..., Any],
    *args: Any,
    done: Callable[[Any], None],
    failed: Callable[[Exception], None] | None = None,
    owner: QWidget | None = None,
    bar: bool = True,
    **kwargs: Any,
) -> None:
    """Run ``function`` in a worker thread and hand its result to ``done``.

    While it runs the session is busy.  A `UserError` goes to ``failed`` (if given) and
    to the user; anything else also to napari, with its trace.
    owner: a widget that ``done`` and ``failed`` write into; they are left out when it
    has been closed and deleted meanwhile.
    bar: show it in napari's activity dock.
    """
    from napari.qt.threading import create_worker
    from napari.utils.notifications import show_error

    if session.busy:
        show_error(f"Please wait: {session.busy}.")
        return

    def there() -> bool:
        return owner is None or isalive(owner)

    def returned(result: Any) -> None:
        session.set_busy(None)
        if session.viewer is None:
            return
        if isinstance(result, _Problem):
            show_error(str(result.error))
            if failed is not None and there():
                failed(result.error)
        elif there():
            done(result)

    def errored(error: Exception) -> None:
        session.set_busy(None)
        if failed is not None and there():
            failed(error)

    session.set_busy(label)
    shown = {"desc": label, "total": 0} if bar else None
    worker = create_worker(_guarded, function, args, kwargs, _progress=shown)
    worker.returned.connect(returned)
    worker.errored.connect(errored)
    worker.start()


class _Problem:
    def __init__(self, error: UserError) -> None:
        self.error = error


def _guarded(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except UserError as error:
        return _Problem(error)


def start_step(
    session: Session,
    label: str,
    function: Callable[..., TiltSeries],
    *args: Any,
    after: Callable[[TiltSeries], None] | None = None,
    **kwargs: Any,
) -> None:
    """Run a step on the current tilt series and put its result into its layer."""
    from napari.utils.notifications import show_info, show_warning

    layer, series = session.layer, session.series
    if layer is None or series is None:
        show_warning("There is no tilt series to work on.")
        return

    def done(result: TiltSeries) -> None:
        new = result.notices[len(series.notices) :]
        if not session.apply(layer, result, label):
            show_info(f"The tilt series was removed meanwhile; '{label}' was dropped.")
            return
        tell(new)
        if after is not None:
            after(result)

    start_job(session, label, _on_numbers, function, series, *args, done=done, **kwargs)


def _on_numbers(
    function: Callable[..., TiltSeries], series: TiltSeries, *args: Any, **kwargs: Any
) -> TiltSeries:
    """Take a step on a series; pixels of another program may be no numbers."""
    from napari_inr_tomo import io

    if series.history and series.history[-1].name == EDITED:
        series = io.clean_series(series)
    return function(series, *args, **kwargs)


def toggle_tilt(session: Session) -> None:
    """Leave the shown tilt of the current series out, or take it back.

    Where none is shown it is brought to the front, and nothing else is done.
    """
    from napari.utils.notifications import show_info

    from napari_inr_tomo.ui import steps

    tilt, series = session.shown_tilt(), session.series
    if tilt is None or session.why_not_step() is not None:
        return
    if session.on_top() != STACK_LABELS[0]:
        session.show_tilts()
        show_info(f"This is tilt {tilt}. Once more leaves it out, or takes it back.")
        return
    used = not series.mask[tilt]
    label = "Taking views back" if used else "Leaving views out"

    def say(_: TiltSeries) -> None:
        what = "taken back" if used else "left out"
        show_info(f"Tilt {tilt} ({series.angles_deg[tilt]:.1f} deg) is {what}.")

    start_step(session, label, steps.set_used, [tilt], used, after=say)


def tell(notices: Sequence[str]) -> None:
    """Show notices in one notification."""
    from napari.utils.notifications import show_warning

    if notices:
        show_warning("\n".join(notices))
