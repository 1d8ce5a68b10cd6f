"""The run folder's layout: round trip, refusals, nothing outside the folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.layout import (
    RunPaths,
    RunSpec,
    read_run,
    read_spec,
    write_complete,
    write_record,
    write_run,
)
from napari_inr_tomo.types import Poses, Step


@pytest.fixture
def spec() -> RunSpec:
    rng = np.random.default_rng(1)
    poses = Poses.from_array(rng.normal(size=(4, 4)))
    used = np.array([True, False, True, True])
    return RunSpec(
        config=ReconstructionConfig.from_preset("paper", seed=3),
        shape=(3, 5, 7),
        angles_deg=np.array([-10.0, 0.1, 20.0]),
        poses=poses.take(used),
        tilts=np.array([0, 2, 3]),
        original_angles_deg=np.array([-10.0, -5.0, 0.1, 20.0]),
        original_used=used,
        original_poses=poses,
        input_sha256="ab" * 32,
        pixel_size_nm=0.123456789,
        name="ein Name",
        angle_source="typed",
        source_name="a.mrc",
        history=(Step("bin_images", {"factor": 2}),),
    )


def test_what_is_written_is_read(tmp_path: Path, spec: RunSpec) -> None:
    write_run(tmp_path, spec)
    back = read_run(tmp_path)
    assert back.config == spec.config
    assert back.shape == (3, 5, 7)
    assert back.tilts.tolist() == [0, 2, 3]
    assert np.array_equal(back.angles_deg, spec.angles_deg)
    assert np.array_equal(back.poses.as_array(), spec.poses.as_array())
    assert np.array_equal(
        back.original_poses.as_array(), spec.original_poses.as_array()
    )
    assert back.original_used.tolist() == [True, False, True, True]
    assert back.history == spec.history
    assert back.pixel_size_nm == spec.pixel_size_nm
    assert (back.name, back.angle_source, back.source_name) == (
        "ein Name",
        "typed",
        "a.mrc",
    )
    assert set(back.versions) == {"napari_inr_tomo", "python", "torch"}


def test_refined_poses_go_back_to_the_whole_stack(spec: RunSpec) -> None:
    refined = Poses.from_axis(3, 5.0)
    whole = spec.restore(refined).as_array()
    assert np.array_equal(whole[[0, 2, 3]], refined.as_array())
    assert np.array_equal(whole[1], spec.original_poses.as_array()[1])


def test_a_record_is_read_like_a_run(tmp_path: Path, spec: RunSpec) -> None:
    paths = RunPaths(tmp_path)
    paths.make_folders()
    write_record(paths, spec, {"step": 12})
    assert read_spec(paths.record).config == spec.config
    assert json.loads(paths.record.read_text())["outcome"] == {"step": 12}
    paths.result_volume.write_bytes(b"v")
    paths.result_poses.write_bytes(b"p")
    write_complete(paths)
    assert set(json.loads(paths.complete.read_text())["sha256"]) == {
        "volume.mrc",
        "poses.csv",
        "record.json",
    }


def test_a_newer_schema_is_refused_with_words(tmp_path: Path, spec: RunSpec) -> None:
    value = spec.to_json() | {"schema": 2}
    value["versions"] = {"napari_inr_tomo": "7.8.9"}
    value["config"] = {"from": "the future"}
    (tmp_path / "run.json").write_text(json.dumps(value))
    with pytest.raises(UserError, match=r"schema 2, written by version 7\.8\.9"):
        read_run(tmp_path)


@pytest.mark.parametrize("missing", ["schema", "config", "input", "history", "name"])
def test_missing_entries_are_named(tmp_path: Path, spec: RunSpec, missing: str) -> None:
    value = spec.to_json()
    del value[missing]
    (tmp_path / "run.json").write_text(json.dumps(value))
    with pytest.raises(UserError, match=f"it has no entry '{missing}'"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", '{"schema": "1"}', '{"schema": null}', "\x00"]
)
def test_no_run_json_is_one_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match="cannot be read"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("shape", [2, 5, 7]),
        ("shape", [3, 5]),
        ("tilts", [0, 1, 2]),
        ("angles_deg", [1.0]),
        ("poses", [[0, 0, 0]]),
    ],
)
def test_contradictions_are_refused(
    tmp_path: Path, spec: RunSpec, where: str, value: Any
) -> None:
    content = spec.to_json()
    content["input"][where] = value
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="cannot be read"):
        read_run(tmp_path)


def test_an_ordinary_folder_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run folder"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "a/../../x", "..\\x", "C:\\x", "C:x", "a\0b", "", "."],
)
def test_files_outside_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="refused"):
        RunPaths(tmp_path).inside(name)


def test_files_inside_the_folder_are_found(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    assert paths.inside("previews/volume.npy") == paths.preview_volume
    assert paths.inside("previews\\poses.csv") == paths.preview_poses


@pytest.mark.skipif(os.name == "nt", reason="making a link needs rights on Windows")
def test_a_link_that_leads_outside_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "previews").symlink_to(tmp_path)
    with pytest.raises(UserError, match="refused"):
        RunPaths(folder).inside("previews/volume.npy")


def test_only_known_requests_have_a_file(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    assert paths.control("save-now").parent == paths.controls
    with pytest.raises(ValueError, match="none of"):
        paths.control("../stop")
