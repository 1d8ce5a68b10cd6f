"""Folded parts of docks."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QLabel

from napari_inr_tomo.ui.fold import CLOSED, OPEN, Fold


def test_a_part_is_folded_away_at_first_and_says_so(qtbot: Any) -> None:
    content = QLabel("inside")
    fold = Fold("Seldom", content)
    qtbot.addWidget(fold)
    fold.show()
    assert fold.text() == f"{CLOSED} Seldom"
    assert content.visibleRegion().isEmpty()
    fold.toggleButton().click()
    assert fold.text() == f"{OPEN} Seldom"
    qtbot.waitUntil(lambda: not content.visibleRegion().isEmpty(), timeout=5000)
