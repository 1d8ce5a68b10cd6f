"""Every setting of a reconstruction as a form, made from the settings themselves.

Labels are the names of the settings, tooltips their docstrings.  Only what differs
from the base (the preset) is kept; a wrong value is told under its field and not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_inr_tomo.config import ReconstructionConfig, nested
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.ui.controls import group, words
from napari_inr_tomo.ui.dock import scrolled
from napari_inr_tomo.ui.tips import tip

IN_THE_DOCK = frozenset(
    {
        "schema_version",
        "method",
        "preset",
        "seed",
        "depth_px",
        "inr.schedule.epochs",
        "inr.poses.refine",
        "inr.poses.frozen",
        "classic.iterations",
        "compute.device",
        "compute.processes",
    }
)
"""Settings that have a control in the dock, and the version of the file."""
TITLES = {
    "inr.field": "Network (INR)",
    "inr.loss": "Loss (INR)",
    "inr.schedule": "Schedule (INR)",
    "inr.poses": "Poses (INR)",
    "inr.holdout": "Hold-out (INR)",
    "inr": "Classical start (INR)",
    "classic": "SIRT, TV, FBP",
    "compute": "Computing",
}
NONE = "none"


def settings() -> Iterator[tuple[str, Any]]:
    """Yield (name with dots, annotation) of all settings the form shows."""

    def walk(model: type[BaseModel], before: str) -> Iterator[tuple[str, Any]]:
        for name, field in model.model_fields.items():
            path, kind = f"{before}{name}", field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from walk(kind, f"{path}.")
            elif path not in IN_THE_DOCK:
                yield path, kind

    return walk(ReconstructionConfig, "")


class Field(QWidget):
    """One setting: its value, what is wrong with it, and the way back.

    edited: (name, value as typed).  back: name.
    """

    edited = Signal(str, object)
    back = Signal(str)

    def __init__(self, name: str, kind: Any) -> None:
        super().__init__()
        self.name = name
        self.kinds = [k for k in get_args(kind) or (kind,) if k is not NoneType]
        self.optional = NoneType in get_args(kind)
        self.choices = get_args(kind) if get_origin(kind) is Literal else ()
        if kind is bool:
            self.choices = (True, False)
        self.label = QLabel(name.rpartition(".")[2].replace("_", " "))
        self.editor = self._make_editor()
        for widget in (self.label, self.editor):
            widget.setToolTip(tip(name))
        self.undo = QToolButton()
        self.undo.setText("\N{ANTICLOCKWISE OPEN CIRCLE ARROW}")
        self.undo.clicked.connect(lambda: self.back.emit(self.name))
        self.problem = words()
        self.problem.setObjectName("problem")
        self.problem.setStyleSheet("color: #ff7a6b")
        self.problem.hide()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(1)
        grid.addWidget(self.label, 0, 0)
        grid.addWidget(self.editor, 0, 1)
        grid.addWidget(self.undo, 0, 2)
        grid.addWidget(self.problem, 1, 0, 1, 3)
        grid.setColumnStretch(0, 1)

    def _make_editor(self) -> QWidget:
        if self.choices:
            box = QComboBox()
            box.addItems([self._text(choice) for choice in self.choices])
            box.activated.connect(
                lambda at: self.edited.emit(self.name, self.choices[at])
            )
            box.setFixedWidth(150)
            return box
        line = QLineEdit()
        line.setFixedWidth(150)
        line.editingFinished.connect(self._typed)
        return line

    @staticmethod
    def _text(value: Any) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, float):
            return f"{value:.6g}"
        return NONE if value is None else str(value)

    def show_value(self, value: Any, usual: Any) -> None:
        """Show a value; ``usual`` is what it goes back to."""
        text = self._text(value)
        if isinstance(self.editor, QComboBox):
            self.editor.setCurrentText(text)
        else:
            self.editor.setText(text)
            self.editor.setModified(False)
        changed = value != usual
        font = self.label.font()
        font.setBold(changed)
        self.label.setFont(font)
        self.undo.setEnabled(changed)
        back = f"Back to {self._text(usual)}, the preset's value"
        self.undo.setToolTip(back if changed else "This is the preset's value")
        self.say("")

    def say(self, problem: str) -> None:
        """Say what is wrong with the value ('' for nothing)."""
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))

    def _typed(self) -> None:
        if not self.editor.isModified():
            return
        self.editor.setModified(False)
        text = self.editor.text().strip()
        if self.optional and text.lower() in ("", NONE):
            self.edited.emit(self.name, None)
            return
        whole = self.kinds == [int]
        try:
            value = int(text) if whole else float(text)
        except ValueError:
            kind = "a whole number" if whole else "a number"
            more = f", or {NONE}" if self.optional else ""
            self.say(f"{self.label.text()} must be {kind}{more}.")
            return
        self.edited.emit(self.name, value)


class SettingsForm(QWidget):
    """All settings; ``changes`` holds those that differ from ``base``."""

    changed = Signal()

    def __init__(self, base: Callable[[], ReconstructionConfig]) -> None:
        super().__init__()
        self._base = base
        self.changes: dict[str, Any] = {}
        self.fields: dict[str, Field] = {}
        self.find = QLineEdit()
        self.find.setPlaceholderText("Find a setting")
        self.find.setClearButtonEnabled(True)
        self.find.textChanged.connect(self._filter)
        body = QWidget()
        boxes = QVBoxLayout(body)
        self._boxes: dict[str, QWidget] = {}
        layouts = {}
        for section, title in TITLES.items():
            self._boxes[section], layouts[section] = group(title)
            boxes.addWidget(self._boxes[section])
        for name, kind in settings():
            field = self.fields[name] = Field(name, kind)
            field.edited.connect(self.set_value)
            field.back.connect(self.reset)
            layouts[name.rpartition(".")[0]].addWidget(field)
        boxes.addStretch(1)
        row = QHBoxLayout()
        self.summary = words(dim=True)
        self.reset_button = QPushButton("Reset all")
        self.reset_button.setToolTip("Every setting back to the preset's value")
        self.reset_button.clicked.connect(lambda: self.reset())
        row.addWidget(self.summary, 1)
        row.addWidget(self.reset_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.find)
        layout.addWidget(scrolled(body))
        layout.addLayout(row)
        self.show_values()

    def set_value(self, name: str, value: Any) -> None:
        """Keep a value, or say at its field why it is refused."""
        base = self._base()
        try:
            checked = base.merged(nested({name: value})).flat()[name]
        except UserError as error:
            field = self.fields[name]
            why = error.why.rpartition(": ")[2]
            why = why.removeprefix("Input should be ")
            field.say(f"{field.label.text()} must be {why}.")
            return
        if checked == base.flat()[name]:
            self.changes.pop(name, None)
        else:
            self.changes[name] = checked
        self.fields[name].say("")
        self._show_values(False)
        self.changed.emit()

    def reset(self, name: str | None = None) -> None:
        """Take one setting, or all, back to the preset's value."""
        if name is None:
            self.changes.clear()
        else:
            self.changes.pop(name, None)
        self.show_values()
        self.changed.emit()

    def take(self, config: ReconstructionConfig) -> None:
        """Take over what a run's settings have other than the base."""
        usual = self._base().flat()
        self.changes = {
            name: value
            for name, value in config.flat().items()
            if name in self.fields and value != usual[name]
        }
        self.show_values()

    def show_values(self) -> None:
        """Show the preset's values and the changes."""
        self._show_values(True)

    def _show_values(self, wrong: bool) -> None:
        """Show what holds; wrong: also in fields that hold a refused value."""
        usual = self._base().flat()
        for name, field in self.fields.items():
            if field.problem.text() and not wrong:
                continue
            field.show_value(self.changes.get(name, usual[name]), usual[name])
        count = len(self.changes)
        self.summary.setText(f"{count or 'Nothing'} changed from the preset")
        self.reset_button.setEnabled(bool(count))

    def _filter(self, text: str) -> None:
        wanted = text.lower().split()
        for name, field in self.fields.items():
            said = f"{name} {field.label.text()} {tip(name)}".lower()
            field.setVisible(all(word in said for word in wanted))
        for section, box in self._boxes.items():
            inside = [
                f for n, f in self.fields.items() if n.rpartition(".")[0] == section
            ]
            box.setVisible(any(not f.isHidden() for f in inside))


class SettingsDialog(QDialog):
    """The form in a window of its own, beside the dock."""

    def __init__(self, parent: QWidget, form: SettingsForm) -> None:
        super().__init__(parent)
        self.setWindowTitle("All settings")
        self.resize(430, 600)
        layout = QVBoxLayout(self)
        note = words(
            "Rest the mouse on a setting to read what it does. Changes hold for the "
            "next start; choosing a preset takes them back.",
            dim=True,
        )
        layout.addWidget(note)
        layout.addWidget(form)
