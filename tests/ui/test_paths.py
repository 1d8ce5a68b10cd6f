"""The home folder is short in the window, and whole in everything that works on it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from napari_inr_tomo.ui.controls import PathEdit
from napari_inr_tomo.ui.paths import shown


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "ann"))
    return tmp_path / "ann"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no ~")
def test_the_home_folder_is_a_tilde(home: Path) -> None:
    assert shown(home / "data" / "needle.mrc") == "~/data/needle.mrc"
    assert shown(str(home)) == "~"
    assert Path(shown(home / "a")).expanduser() == home / "a"


def test_other_paths_stay_whole(home: Path) -> None:
    other = home.parent / "annabel" / "needle.mrc"  # begins with the same letters
    assert shown(other) == str(other)
    assert shown("data/needle.mrc") == str(Path("data/needle.mrc"))
    assert shown("-60:60:2") == "-60:60:2"


def test_a_line_shows_it_short_and_gives_it_whole(qtbot: Any, home: Path) -> None:
    edit = PathEdit("file", "")
    qtbot.addWidget(edit)
    edit.setText(str(home / "needle.mrc"))
    assert edit.line.text() == shown(home / "needle.mrc")
    assert edit.text() == str(home / "needle.mrc")
    edit.line.setText("~/other.mrc")
    assert edit.text() == os.path.expanduser("~/other.mrc")
    edit.setText("")
    assert edit.text() == ""
