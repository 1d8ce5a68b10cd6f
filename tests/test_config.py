"""Settings: ranges, presets, files, and one error that names every problem."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from napari_inr_tomo.config import PRESETS, ReconstructionConfig
from napari_inr_tomo.errors import UserError


def fields(model: type[BaseModel]) -> Any:
    for name, info in model.model_fields.items():
        yield f"{model.__name__}.{name}", info
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from fields(info.annotation)


@pytest.mark.parametrize("preset", PRESETS)
def test_json_round_trip(preset: str) -> None:
    config = ReconstructionConfig.from_preset(preset, seed=3, depth_px=40)
    assert config.preset == preset
    text = config.model_dump_json()
    assert ReconstructionConfig.parse(json.loads(text)) == config
    json.loads(text, parse_constant=pytest.fail)


def test_presets_differ_and_paper_is_the_paper() -> None:
    made = {p: ReconstructionConfig.from_preset(p).inr for p in PRESETS}
    assert len({m.model_dump_json() for m in made.values()}) == len(PRESETS)
    paper = made["paper"]
    assert (paper.field.kind, paper.field.width, paper.field.hidden_layers) == (
        "hsiren",
        512,
        4,
    )
    assert (paper.loss.kind, paper.loss.beta, paper.loss.tv_weight) == (
        "smooth_l1",
        0.07,
        1e-4,
    )
    assert (paper.schedule.learning_rate, paper.schedule.batch_rays) == (8e-6, 1024)
    assert (paper.poses.start_epoch, paper.poses.learning_rate_deg) == (10, 5e-2)
    assert paper.warm_start == "none"


def test_every_setting_says_what_it_means() -> None:
    silent = [
        name
        for name, info in fields(ReconstructionConfig)
        if not info.description
        and name.split(".")[1] not in ("inr", "classic", "compute")
        and not isinstance(info.default, BaseModel)
    ]
    assert silent == []


def test_one_error_names_every_bad_setting() -> None:
    with pytest.raises(UserError) as caught:
        ReconstructionConfig.parse(
            {
                "method": "magic",
                "inr": {"field": {"width": 2}, "nothing": 1},
                "classic": {"relaxation": 2.0},
            }
        )
    for name in ("method", "inr.field.width", "inr.nothing", "classic.relaxation"):
        assert name in caught.value.why


@pytest.mark.parametrize("value", ["inf", "nan", "-1"])
def test_numbers_must_be_finite(value: str) -> None:
    for name in ("beta", "tv_weight"):
        with pytest.raises(UserError, match=f"inr.loss.{name}"):
            ReconstructionConfig.parse({"inr": {"loss": {name: float(value)}}})


def test_settings_are_frozen() -> None:
    config = ReconstructionConfig()
    with pytest.raises(ValidationError):
        config.seed = 1
    with pytest.raises(ValidationError):
        config.inr.field.width = 64


def test_merged_changes_only_what_is_named() -> None:
    start = ReconstructionConfig.from_preset("paper")
    after = start.merged({"inr": {"poses": {"refine": False}}, "seed": 9})
    assert after.inr.poses.refine is False
    assert after.inr.poses.start_epoch == start.inr.poses.start_epoch
    assert after.inr.field == start.inr.field
    assert (start.seed, after.seed) == (0, 9)
    assert start.merged({}) == start


def test_merged_checks() -> None:
    with pytest.raises(UserError, match=r"inr\.poses"):
        ReconstructionConfig().merged({"inr": {"poses": 3}})


@pytest.mark.parametrize("preset", ["paper ", "", None, ["fast"]])
def test_unknown_preset(preset: Any) -> None:
    with pytest.raises(UserError, match="preview, fast, paper"):
        ReconstructionConfig.from_preset(preset)


def test_bad_change_of_a_preset() -> None:
    with pytest.raises(UserError, match="depth_px"):
        ReconstructionConfig.from_preset("fast", depth_px=1)


def test_toml_file_fills_up_from_its_preset(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('preset = "paper"\n[inr.schedule]\nepochs = 7\n', encoding="utf-8")
    config = ReconstructionConfig.load(path)
    assert config.preset == "paper"
    assert config.inr.schedule.epochs == 7
    assert config.inr.field.kind == "hsiren"
    other = ReconstructionConfig.load(path, preset="preview")
    assert other.preset == "preview"
    assert other.inr.schedule.epochs == 7
    assert other.inr.warm_start == "tv"


@pytest.mark.parametrize("name", ["run.toml", "RUN.JSON"])
def test_a_file_of_an_editor_of_windows_is_read(tmp_path: Path, name: str) -> None:
    text = "seed = 3\r\n" if name.endswith("toml") else '{"seed": 3}\r\n'
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert ReconstructionConfig.load(tmp_path / name).seed == 3


def test_a_written_file_reads_back(tmp_path: Path) -> None:
    config = ReconstructionConfig.from_preset("preview", method="sirt", seed=5)
    path = tmp_path / "run.json"
    path.write_text(config.model_dump_json(), encoding="utf-8")
    assert ReconstructionConfig.load(path) == config
    assert ReconstructionConfig.load(str(path)) == config


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.toml", b"preset = "),
        ("a.toml", b"\xff\xfe"),
        ("a.toml", b'preset = "quick"'),
        ("a.toml", b'preset = ["fast"]'),
        ("a.toml", b"seed = -1"),
        ("a.toml", b"unknown = 1"),
        ("a.toml", b"[inr.loss]\ntv_weight = inf"),
        ("a.toml", b"inr = 3"),
        ("a.toml", b"schema_version = 2"),
        ("a.json", b"[1, 2]"),
        ("a.json", b"{"),
        ("a.json", b'{"seed": NaN}'),
    ],
)
def test_bad_files_are_one_clear_error(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError):
        ReconstructionConfig.load(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.toml"):
        ReconstructionConfig.load(tmp_path / "none.toml")
    with pytest.raises(UserError):
        ReconstructionConfig.load(tmp_path)


def test_epochs_follow_from_visits_and_tilts() -> None:
    config = ReconstructionConfig.from_preset("fast")
    few, many = config.resolved(9), config.resolved(500)
    visits = config.inr.schedule.visits
    assert few.inr.schedule.epochs == round(visits / 9)
    assert many.inr.schedule.epochs == 1
    assert few.resolved(500) == few
    paper = ReconstructionConfig.from_preset("paper")
    assert paper.resolved(9) == paper


def test_a_name_that_does_not_exist_is_said_to_be_none() -> None:
    with pytest.raises(UserError, match=r"inr\.nose: there is no such setting"):
        ReconstructionConfig.parse({"inr": {"nose": 1}})


@pytest.mark.parametrize("given", ["banana", -3, 2.5])
def test_a_bad_setting_is_named_with_what_was_given(given: object) -> None:
    """Of several values typed at once, in a queue say, only one may be wrong."""
    values = {"classic": {"iterations": given}}
    with pytest.raises(UserError) as caught:
        ReconstructionConfig.parse(values)
    assert "classic.iterations: " in str(caught.value)
    assert f"(it is {given!r})" in str(caught.value)
