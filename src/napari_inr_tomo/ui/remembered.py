"""What was last used, kept in napari's settings of this plugin; file dialogs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from qtpy.QtWidgets import QFileDialog, QWidget

Name = Literal["folder", "method", "preset"]


def settings(group: str) -> Any:
    """Return a group of the plugin's settings; None where it is not installed."""
    from napari.settings import get_plugin_settings

    try:
        return getattr(get_plugin_settings("napari-inr-tomo"), group)
    except (KeyError, AttributeError):  # a script without the manifest
        return None


def recall(name: Name) -> str:
    """Return what was last used, or an empty string."""
    group = settings("last")
    return "" if group is None else str(getattr(group, name, ""))


def remember(name: Name, value: str) -> None:
    """Keep what was used, for the next time napari is opened."""
    group = settings("last")
    if group is not None and getattr(group, name, value) != value:
        setattr(group, name, value)


def _start(path: str) -> str:
    """Return where a dialog begins: the path there is, or the last folder."""
    if path and Path(path).expanduser().exists():
        return str(Path(path).expanduser())
    return recall("folder")


def ask_folder(parent: QWidget, title: str, path: str = "") -> str:
    """Ask for a folder; empty where the user gave up."""
    found = QFileDialog.getExistingDirectory(parent, title, _start(path))
    if found:
        remember("folder", found)
    return found


def ask_file(parent: QWidget, title: str, path: str = "") -> str:
    """Ask for a file that is there; empty where the user gave up."""
    found, _ = QFileDialog.getOpenFileName(parent, title, _start(path))
    if found:
        remember("folder", str(Path(found).parent))
    return found


def ask_new_file(parent: QWidget, title: str, name: str) -> str:
    """Ask for a file to write; empty where the user gave up."""
    start = str(Path(recall("folder")) / name)
    found, _ = QFileDialog.getSaveFileName(parent, title, start)
    if found:
        remember("folder", str(Path(found).parent))
    return found
