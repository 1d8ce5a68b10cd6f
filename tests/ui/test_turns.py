"""Work that is put off to a later turn of the event loop."""

from __future__ import annotations

from typing import Any

from napari_inr_tomo.ui.turns import later


def test_one_thing_a_turn_and_in_order(qtbot: Any) -> None:
    from qtpy.QtCore import QEventLoop, QTimer

    story: list[str] = []

    def first() -> None:
        story.append("first")
        loop = QEventLoop()
        QTimer.singleShot(100, loop.quit)
        loop.exec()  # as napari does when a bar moves
        story.append("first has ended")

    def second() -> None:
        story.append("second")
        QTimer.singleShot(0, lambda: story.append("a turn"))

    for act in (first, second, lambda: story.append("third")):
        later(act)
    assert not story
    qtbot.waitUntil(lambda: "third" in story, timeout=10_000)
    assert story == ["first", "first has ended", "second", "a turn", "third"]


def test_a_thing_that_fails_does_not_keep_the_others(qtbot: Any) -> None:
    seen: list[int] = []
    with qtbot.capture_exceptions() as caught:
        later(lambda: seen.append(1 // 0))
        later(lambda: seen.append(2))
        qtbot.waitUntil(lambda: seen == [2], timeout=10_000)
    assert [kind for kind, *_ in caught] == [ZeroDivisionError]
