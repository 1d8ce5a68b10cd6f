"""Work that is put off to a later turn of the event loop."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QWidget

from napari_inr_tomo.ui.turns import Pieces, later


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


def test_pieces_have_a_turn_each_and_are_done_once_however_often_asked_for(
    qtbot: Any,
) -> None:
    story: list[str] = []
    work = Pieces(QWidget(), lambda: story.append("a"), lambda: story.append("b"))
    work()
    work()
    later(lambda: story.append("between"))
    assert work.waits
    qtbot.waitUntil(lambda: not work.waits and len(story) == 3, timeout=10_000)
    assert story == ["a", "between", "b"]
    all_done: list[bool] = []
    later(lambda: all_done.append(True))
    qtbot.waitUntil(lambda: bool(all_done), timeout=10_000)
    assert story == ["a", "between", "b"]


def test_what_is_asked_for_in_the_middle_is_done_once_more(qtbot: Any) -> None:
    story: list[str] = []

    def first() -> None:
        story.append("a")
        if len(story) == 1:
            work()
            work()

    work = Pieces(QWidget(), first, lambda: story.append("b"))
    work()
    qtbot.waitUntil(lambda: not work.waits and len(story) > 3, timeout=10_000)
    assert story == ["a", "b", "a", "b"]


def test_pieces_forgotten_are_not_done_and_can_be_asked_for_again(qtbot: Any) -> None:
    story: list[str] = []
    work = Pieces(QWidget(), lambda: story.append("a"))
    work()
    work.forget()
    later(lambda: story.append("later"))
    qtbot.waitUntil(lambda: bool(story), timeout=10_000)
    assert story == ["later"]
    work()
    qtbot.waitUntil(lambda: not work.waits, timeout=10_000)
    assert story == ["later", "a"]


def test_a_piece_that_fails_does_not_keep_the_others(qtbot: Any) -> None:
    seen: list[int] = []
    work = Pieces(QWidget(), lambda: seen.append(1 // 0), lambda: seen.append(2))
    with qtbot.capture_exceptions() as caught:
        work()
        qtbot.waitUntil(lambda: seen == [2], timeout=10_000)
    assert [kind for kind, *_ in caught] == [ZeroDivisionError]
