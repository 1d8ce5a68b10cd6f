"""Somebody clicks and types at random: nothing is raised, nothing stays behind.

The docks come from the manifest, the controls from Qt, so that new ones take part by
themselves.  Real processes are started; they are ended with the test.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QLineEdit,
    QMessageBox,
    QSpinBox,
    QTableWidget,
    QWidget,
)

from napari_inr_tomo import io
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import TiltSeries

SEEDS = [1, *(pytest.param(n, marks=pytest.mark.faults) for n in range(2, 9))]
ACTIONS = 250
KINDS = (
    *(QAbstractButton, QComboBox, QAbstractSpinBox, QAbstractSlider),
    *(QLineEdit, QTableWidget),
)
TYPED = ("", "-60:60:8", "1", "nan", "-5", "abc", "1,2,3", "1e9", "classic.iterations")
KEYS = "sadfpntSADF"


def dock_classes() -> list[type]:
    """Return the docks of the manifest."""
    import napari_inr_tomo

    text = (Path(napari_inr_tomo.__file__).parent / "napari.yaml").read_text()
    names = [
        c["python_name"] for c in yaml.safe_load(text)["contributions"]["commands"]
    ]
    pairs = [name.split(":") for name in names if name.endswith("Dock")]
    return [getattr(import_module(module), name) for module, name in pairs]


class Hand:
    """Does one thing after the other; remembers the last ones."""

    def __init__(self, seed: int, viewer: Any, session: Any, files: list[str]) -> None:
        self.random = random.Random(seed)
        self.viewer, self.session, self.files = viewer, session, files
        self.docks: dict[type, tuple[Any, Any]] = {}
        self.last: deque[str] = deque(maxlen=5)
        self.classes = dock_classes()

    def act(self) -> None:
        """Do anything."""
        rare = (self.open, self.close, self.remove, self.hide, self.turn, self.key)
        wanted = self.random.random() < 0.15 or len(self.docks) < 4
        act = self.random.choice(rare) if wanted else self.touch
        act()
        for _ in range(self.random.randint(1, 3)):
            QApplication.processEvents()
        if self.random.random() < 0.05:
            QTest.qWait(200)

    def open(self) -> None:
        kind = self.random.choice(self.classes)
        self.last.append(f"open {kind.__name__}")
        if kind not in self.docks:
            dock = kind(self.viewer)
            add = self.viewer.window.add_dock_widget
            self.docks[kind] = dock, add(dock, name=kind.__name__, tabify=True)

    def close(self) -> None:
        if len(self.docks) > 4:
            kind = self.random.choice(list(self.docks))
            self.last.append(f"close {kind.__name__}")
            self.viewer.window.remove_dock_widget(self.docks.pop(kind)[1])

    def _layer(self, verb: str) -> Any:
        layers = list(self.viewer.layers)
        layer = self.random.choice(layers) if layers else None
        self.last.append(f"{verb} {layer}")
        return layer

    def remove(self) -> None:
        layer = self._layer("remove")
        if layer is not None and self.random.random() < 0.3:
            self.viewer.layers.remove(layer)
        elif layer is not None:
            self.viewer.layers.selection.active = layer

    def hide(self) -> None:
        layer = self._layer("hide or show")
        if layer is not None:
            layer.visible = not layer.visible

    def turn(self) -> None:
        self.last.append("turn the slider, the view or the lights")
        self.viewer.dims.set_point(0, self.random.uniform(0, 30))
        self.viewer.dims.ndisplay = self.random.choice([2, 2, 2, 3])
        if self.random.random() < 0.1:
            self.viewer.theme = self.random.choice(["dark", "light"])

    def key(self) -> None:
        key = self.random.choice(KEYS)
        self.last.append(f"key {key}")
        QTest.keyClick(self.viewer.window._qt_viewer.canvas.native, key)

    def touch(self) -> None:
        """Use any control of an open dock as its kind is used."""
        dock, _ = self.random.choice(list(self.docks.values()))
        controls = (w for w in dock.findChildren(QWidget) if isinstance(w, KINDS))
        there = [control for control in controls if control.isEnabled()]
        if not there:
            return
        control, rand = self.random.choice(there), self.random
        text = control.text() if hasattr(control, "text") else ""
        self.last.append(f"{type(dock).__name__}: {type(control).__name__} {text!r}")
        if isinstance(control, QAbstractButton):
            control.click()
        elif isinstance(control, QComboBox) and control.count():
            control.setCurrentIndex(rand.randrange(control.count()))
            control.activated.emit(control.currentIndex())
        elif isinstance(control, QSpinBox | QDoubleSpinBox):
            low, high = max(control.minimum(), -1000), min(control.maximum(), 1000)
            value = rand.uniform(low, high)
            whole = isinstance(control, QSpinBox)
            control.setValue(round(value) if whole else value)
            control.editingFinished.emit()
        elif isinstance(control, QAbstractSlider):
            control.setValue(rand.randint(control.minimum(), control.maximum()))
        elif isinstance(control, QLineEdit) and not control.isReadOnly():
            control.setText(rand.choice([*TYPED, *self.files]))
            control.editingFinished.emit()
        elif isinstance(control, QTableWidget) and control.rowCount():
            row = rand.randrange(control.rowCount())
            column = rand.randrange(control.columnCount())
            control.setCurrentCell(row, column)
            item = control.item(row, column)
            if item is not None and item.flags() & Qt.ItemFlag.ItemIsEditable:
                item.setText(rand.choice(TYPED))


@pytest.fixture
def files(tmp_path: Path, small_series: TiltSeries) -> list[str]:
    """Names that are typed and chosen: good files, bad ones, none."""
    good = io.write_series(tmp_path / "stack.mrc", small_series)
    (tmp_path / "bad.mrc").write_bytes(b"x" * 100)
    (tmp_path / "empty.txt").write_text("")
    bad = [
        tmp_path / "bad.mrc",
        tmp_path / "empty.txt",
        tmp_path / "none.mrc",
        tmp_path,
    ]
    return [str(path) for path in (*good, *bad)]


@pytest.fixture
def _no_dialogs(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Answer dialogs at random; end the processes that were started."""
    monkeypatch.chdir(tmp_path)  # what is typed may be the name of a folder
    rand = random.Random(0)
    new = [str(tmp_path / f"out{end}") for end in ("", ".mrc", ".tif", ".csv", ".xf")]
    answers = {
        "getOpenFileName": lambda *_, **__: (rand.choice([*files, ""]), ""),
        "getSaveFileName": lambda *_, **__: (rand.choice([*new, ""]), ""),
        "getExistingDirectory": lambda *_, **__: rand.choice([str(tmp_path), ""]),
    }
    for name, answer in answers.items():
        monkeypatch.setattr(QFileDialog, name, staticmethod(answer))
    buttons = [QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No]
    monkeypatch.setattr(
        QMessageBox, "question", staticmethod(lambda *_, **__: rand.choice(buttons))
    )
    yield
    started = psutil.Process().children(recursive=True)
    for process in started:
        process.kill()
    psutil.wait_procs(started, 10)


def unexpected() -> list[BaseException]:
    """Return the errors the user was told of that are none of the user's."""
    from napari.utils.notifications import notification_manager

    told = [getattr(n, "exception", None) for n in notification_manager.records]
    return [e for e in told if e is not None and not isinstance(e, UserError)]


@pytest.mark.scenario(36)
@pytest.mark.usefixtures("_no_dialogs")
@pytest.mark.parametrize("open_dock", ["shown"], indirect=True)
@pytest.mark.parametrize("seed", SEEDS)
def test_random_use_raises_nothing_and_leaves_nothing_behind(
    open_dock: Any, qtbot: Any, files: list[str], small_series: TiltSeries, seed: int
) -> None:
    session = open_dock.session
    session.add_series(small_series)
    other = simulate_series("chiral", (24, 28), np.arange(-40, 41, 8.0), seed=1).series
    session.add_series(other.evolve(pixel_size_nm=0.5))
    hand = Hand(seed, open_dock.viewer, session, files)
    for number in range(ACTIONS):
        with qtbot.captureExceptions() as raised:
            hand.act()
        assert not raised, f"action {number}, after {list(hand.last)}: {raised}"
        assert not unexpected(), f"action {number}, after {list(hand.last)}"
    assert len(hand.docks) >= 4
    qtbot.waitUntil(lambda: session.busy is None, timeout=60_000)
