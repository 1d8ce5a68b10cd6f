"""What the tests of steps in a viewer do alike."""

from __future__ import annotations

from typing import Any

LONG_MS = 30_000


def errors() -> list[str]:
    from napari.utils.notifications import NotificationSeverity, notification_manager

    return [
        record.message
        for record in notification_manager.records
        if record.severity >= NotificationSeverity.ERROR
    ]


def done(qtbot: Any, session: Any) -> None:
    qtbot.waitUntil(lambda: session.busy is None, timeout=LONG_MS)
