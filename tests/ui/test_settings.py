"""All settings as a form, and the expected times beside the presets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from scripted_run import LONG_MS

from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.runs import timing
from napari_inr_tomo.runs.timing import Costs
from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui import expecting
from napari_inr_tomo.ui.docks.reconstruction import ReconstructionDock
from napari_inr_tomo.ui.settings_form import IN_THE_DOCK

SHOWN = pytest.mark.parametrize("open_dock", ["shown"], indirect=True)


def type_in(form: Any, name: str, text: str) -> str:
    """Type a value; return what is said under the field."""
    editor = form.fields[name].editor
    editor.setText(text)
    editor.setModified(True)
    editor.editingFinished.emit()
    return form.fields[name].problem.text()


def test_every_setting_is_in_the_form_or_in_the_dock(open_dock: Any) -> None:
    form = open_dock(ReconstructionDock).panel.form
    assert set(form.fields) | IN_THE_DOCK == set(ReconstructionConfig().flat())
    for field in form.fields.values():
        assert len(field.label.toolTip()) > 10


def test_only_changes_are_kept_and_go_into_the_run(open_dock: Any) -> None:
    panel = open_dock(ReconstructionDock).panel
    form = panel.form
    assert type_in(form, "inr.loss.beta", "0.2") == ""
    form.set_value("inr.field.kind", "hsiren")
    form.set_value("compute.preview_seconds", 2.0)  # what the preset has
    assert form.changes == {"inr.loss.beta": 0.2, "inr.field.kind": "hsiren"}
    assert "(2 changed)" in panel.all_button.text()
    config = panel.config()
    assert (config.inr.loss.beta, config.inr.field.kind) == (0.2, "hsiren")
    assert config.inr.loss.tv_points == 500  # the preset's
    form.fields["inr.loss.beta"].undo.click()
    assert panel.config().inr.loss.beta == 0.07
    panel.preset.setCurrentText("paper")
    assert form.changes == {}
    assert form.fields["inr.field.width"].editor.text() == "512"


def test_a_wrong_value_is_told_at_its_field_and_not_kept(open_dock: Any) -> None:
    form = open_dock(ReconstructionDock).panel.form
    assert "greater than 0" in type_in(form, "inr.loss.beta", "-1")
    assert "a number" in type_in(form, "classic.relaxation", "much")
    assert "whole number" in type_in(form, "inr.field.width", "12.5")
    assert type_in(form, "inr.loss.tv_weight", "none") == ""
    assert form.changes == {}
    # the wrong value stays to be seen until it is mended
    assert form.fields["inr.loss.beta"].editor.text() == "-1"
    assert type_in(form, "inr.loss.beta", "0.1") == ""
    assert form.changes == {"inr.loss.beta": 0.1}


def test_a_run_is_cloned_with_its_changes(open_dock: Any) -> None:
    panel = open_dock(ReconstructionDock).panel
    config = ReconstructionConfig.from_preset("preview").merged(
        {"inr": {"loss": {"beta": 0.3}, "schedule": {"epochs": 4}}}
    )
    panel.show_config(config)
    assert panel.form.changes == {"inr.loss.beta": 0.3}
    assert panel.config() == config


def test_settings_are_found_by_a_word(open_dock: Any) -> None:
    panel = open_dock(ReconstructionDock).panel
    panel.show_settings()
    panel.form.find.setText("total variation alpha")
    left = [n for n, f in panel.form.fields.items() if not f.isHidden()]
    assert left == ["inr.loss.tv_weight"]


# expected times ---------------------------------------------------------------------


def costs(*_: Any) -> Costs:
    return Costs({"start": 2.0, "ray step": 0.1}, 10**9, "CPU")


@SHOWN
def test_times_follow_the_settings_without_a_new_measurement(
    open_dock: Any,
    qtbot: Any,
    small_series: TiltSeries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, anew = [], []

    def measure(series: Any, config: Any, stop: Any, again: bool) -> Any:
        asked.append(config.preset)
        anew.append(again)
        if config.preset == "paper":
            raise UserError("The time could not be measured", "no luck", "Start it")
        return costs()

    monkeypatch.setattr(timing, "measure", measure)
    monkeypatch.setattr(timing, "known", lambda *_: None)
    panel = open_dock(ReconstructionDock).panel
    open_dock.session.add_series(small_series)
    words = panel.expected
    assert "not measured yet" in words.lines.text()
    qtbot.waitUntil(lambda: words.source.text() == expecting.MEASURED, timeout=LONG_MS)
    assert asked[0] == "fast"
    assert sorted(asked) == ["fast", "paper", "preview"]
    assert "no luck" in words.lines.text()
    assert "1.0 GB" in words.lines.text()
    steps = -(-small_series.images.size // 512)
    for epochs in (50, 100):
        panel.count.setValue(epochs)
        said = timing.in_seconds(2 + epochs * steps * 0.1)
        assert f"fast: about <b>{said}</b>" in words.lines.text()
    assert len(asked) == 3
    panel.form.set_value("inr.field.width", 64)
    assert "fast: not measured yet" in words.lines.text()
    assert "preview: about" in words.lines.text()
    qtbot.waitUntil(lambda: words.source.text() == expecting.MEASURED, timeout=LONG_MS)
    assert asked[3:] == ["fast"]
    assert not any(anew)
    words.again_button.click()
    qtbot.waitUntil(lambda: words.source.text() == expecting.MEASURED, timeout=LONG_MS)
    assert sorted(asked[4:]) == ["fast", "paper", "preview"]
    assert all(anew[4:])
    words._costs["fast"] = replace(costs(), busy=True)
    words.changed()
    assert expecting.BUSY in words.source.text()


@SHOWN
def test_closing_the_dock_ends_the_measurement(
    open_dock: Any,
    qtbot: Any,
    small_series: TiltSeries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import threading

    began, ended = threading.Event(), threading.Event()

    def measure(series: Any, config: Any, stop: Any, again: bool) -> Any:
        began.set()
        while not stop():
            threading.Event().wait(0.01)
        ended.set()

    monkeypatch.setattr(timing, "measure", measure)
    dock = open_dock(ReconstructionDock)
    open_dock.session.add_series(small_series)
    words = dock.panel.expected
    qtbot.waitUntil(began.is_set, timeout=LONG_MS)
    assert "measuring..." in words.lines.text()
    open_dock.viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(ended.is_set, timeout=LONG_MS)


def test_nothing_is_measured_while_something_goes_on(
    open_dock: Any, small_series: TiltSeries, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel, session = open_dock(ReconstructionDock).panel, open_dock.session
    session.add_series(small_series)
    session.set_busy("Aligning")
    assert "Busy: Aligning" in panel.expected.source.text()
    session.set_busy(None)
