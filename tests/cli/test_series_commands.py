"""``info`` and ``preprocess``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from napari_inr_tomo.io import read_images, read_series
from napari_inr_tomo.preprocess.masks import decode_mask

Cli = Callable[..., Any]


def test_info_tells_everything(cli: Cli, stack: Path) -> None:
    facts = cli("info", stack, "--json").json
    assert facts["shape_tyx"] == [13, 24, 24]
    assert facts["angles_deg"] == list(range(-60, 61, 10))
    assert "stack.tlt" in facts["angle_source"]
    assert facts["pixel_size_nm"] == pytest.approx(1.0)
    assert facts["minimum"] <= facts["mean"] <= facts["maximum"]
    words = cli("info", stack).out
    assert "13 images of 24 x 24 pixels" in words
    assert "angles: 13 angles, -60 to 60 degrees in steps of 10; in rising" in words
    assert facts["angle_order"] == "rising"
    assert facts["missing_wedge_deg"] == 60  # of 180, both sides together
    assert "missing wedge: 60 degrees in all" in words
    assert f"intensities: {facts['minimum']:.6g} to {facts['maximum']:.6g}" in words


def test_preprocess_says_where_the_angles_come_from(
    cli: Cli, stack: Path, tmp_path: Path
) -> None:
    words = cli("preprocess", stack, "-o", tmp_path / "o.mrc", "--bin", 2).out
    assert "source of the angles: side-car stack.tlt" in words


@pytest.mark.parametrize("form", ["--angles=-48:48:8", "--angles -48:48:8"])
def test_angles_may_begin_with_a_minus(cli: Cli, stack: Path, form: str) -> None:
    facts = cli("info", stack, *form.split(" "), "--json").json
    assert facts["angles_deg"] == list(range(-48, 49, 8))
    assert "-48:48:8" in facts["angle_source"]


def test_unknown_angles_are_said_so(cli: Cli, stack: Path) -> None:
    stack.with_suffix(".tlt").unlink()
    stack.with_suffix(".json").unlink()
    answer = cli("info", stack, "--json")
    assert answer.status == 0
    assert answer.json["angles_deg"] is None
    assert answer.json["angle_source"] == "unknown"
    assert "unknown; give them with --angles" in cli("info", stack).out


def test_a_wrong_count_of_angles_names_both(cli: Cli, stack: Path) -> None:
    problem = cli("info", stack, "--angles", "-60:60:2").problem
    assert "61" in problem
    assert "13" in problem


def test_preprocess_goes_the_whole_way(cli: Cli, tmp_path: Path) -> None:
    raw, out = tmp_path / "raw.mrc", tmp_path / "out.mrc"
    settings = ("--phantom", "chiral", "--size", 48, "--tilts=-60:60:5")
    wrong = ("--axis-angle", 4, "--seed", 2)
    assert cli("simulate", "-o", raw, *settings, *wrong).status == 0
    steps = ("--exclude", "3,17", "--bin", 2, "--background", "bernstein")
    answer = cli(
        "preprocess", raw, "-o", out, *steps, "--align", "xcorr,axis", "--json"
    )
    found = answer.json
    assert found["axis_deg"] == pytest.approx(4, abs=1)
    assert abs(found["shift_px"]) < 2
    assert 0 < found["negativity_after"] < 0.3
    assert 0 < found["negativity_before"] < 0.3
    assert found["shape_tyx"] == [23, 24, 24]
    assert [Path(path).suffix for path in found["written"]] == [
        ".mrc",
        ".tlt",
        ".xf",
        ".json",
    ]
    series = read_series(out)
    assert series.images.shape == (23, 24, 24)
    assert np.array_equal(
        series.angles_deg, np.delete(np.arange(-60.0, 61, 5), [3, 17])
    )
    assert [step.name for step in series.history][-6:] == [
        "exclude_views",
        "bin_images",
        "subtract_background",
        "align_cross_correlation",
        "align_tilt_axis",
        "apply_poses",
    ]


def test_everything_with_nothing_to_set(cli: Cli, stack: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.mrc"
    found = cli("preprocess", stack, "-o", out, "--auto", "--json").json
    assert [step["name"] for step in found["history"]][-8:] == [
        "mask_outliers",
        "check_views",
        "subtract_background",
        "normalise_tilts",
        "align_cross_correlation",
        "align_center_of_mass",
        "align_tilt_axis",
        "align_projections",
    ]


def test_single_cleaning_steps(cli: Cli, stack: Path, tmp_path: Path) -> None:
    words = ["--mask-outliers", "--check-views", "--normalise", "mass", "--json"]
    found = cli("preprocess", stack, "-o", tmp_path / "o.mrc", *words).json
    names = [step["name"] for step in found["history"]]
    assert names[-3:] == ["mask_outliers", "check_views", "normalise_tilts"]


def test_without_an_axis_search_there_is_none_found(
    cli: Cli, stack: Path, tmp_path: Path
) -> None:
    found = cli(
        "preprocess", stack, "-o", tmp_path / "o.tif", "--size", 12, "--json"
    ).json
    assert found["axis_deg"] is None
    assert found["negativity_after"] is None
    assert found["shape_tyx"] == [13, 12, 12]


BOX = ["--background", "box-mean", "--set"]
FIT = ["--background", "bernstein", "--set"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--size", "12", "--bin", "2"], "cannot be used together"),
        (["--background", "gauss"], "'gauss' is not known"),
        (["--align", "xcorr,foo"], "foo"),
        (["--exclude", "3,x"], "3,x"),
        (["--exclude", "99"], "99"),
        (["--bin", "0"], "binned by 0"),
        (["--auto", "--align", "xcorr"], "--auto cannot be used"),
        (["--normalise", "sum"], "'sum' is not known"),
        (["--set", "xcorr.stretch=true"], "none was asked for"),
        (["--align", "xcorr", "--set", "xcorr.strech=1"], "unknown setting"),
        (["--align", "xcorr", "--set", "xcorr.stretch=7"], "the wrong kind"),
        (["--align", "xcorr", "--set", "stretch"], "not understood"),
        (["--align", "xcorr", "--set", "xcorr.max_shift_px=1:2"], "a number or none"),
        (["--align", "xcorr", "--set", "xcorr.taper=nan"], "takes a number"),
        ([*BOX, "background.box=5"], "whole numbers with colons or none"),
        ([*BOX, "background.box=nan"], "whole numbers with colons or none"),
        ([*BOX, "background.box=1:2"], "it has 2 numbers"),
        ([*BOX, "background.level=1:2"], "a number or none"),
        ([*BOX, "background.degree_yx=nan:nan"], "2 whole numbers"),
        ([*BOX, "background.degree_yx=1:2:3"], "2 whole numbers"),
        (["--degree", "2"], "--degree has no meaning here"),
        (["--background", "constant", "--degree", "2"], "goes with --background bern"),
        (
            [*FIT, "background.degree_yx=1:1", "--degree", "2"],
            "no background.degree_yx",
        ),
        ([*FIT, "background.level=3"], "goes with background.specimen=threshold"),
        ([*FIT, "background.box=0:4:0:4"], "goes with --background box-mean"),
        ([*FIT, "background.edge_weight=0.5"], "goes with background.edge_px"),
        ([*FIT, "background.follow_mask=true"], "goes with --mask"),
        ([*BOX, "background.specimen=otsu"], "goes with --background bernstein"),
        (["--exclude", "0-99999999999"], "too long"),
        (["--exclude", "20-17"], "runs backwards"),
        (["--exclude", "3-"], "'3-'"),
        (["--exclude", ","], "there is none"),
        (["--background", "bernstein", "--degree", "9"], "degree"),
        (["--mask", "m.tif"], "no background to fit"),
    ],
)
def test_slips_of_preprocess(
    cli: Cli, stack: Path, tmp_path: Path, words: list[str], expected: str
) -> None:
    out = tmp_path / "o.mrc"
    assert expected in cli("preprocess", stack, "-o", out, *words).problem
    assert not out.exists()


@pytest.mark.parametrize("name", ["o.foo", "no/such/folder/o.mrc"])
def test_an_impossible_output_is_refused_first(
    cli: Cli, stack: Path, tmp_path: Path, name: str
) -> None:
    assert (
        "cannot be written" in cli("preprocess", stack, "-o", tmp_path / name).problem
    )


def test_ranges_of_views(cli: Cli, stack: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.mrc"
    assert cli("preprocess", stack, "-o", out, "--exclude", "0, 2-4,12").status == 0
    record = json.loads(out.with_suffix(".json").read_text())
    assert record["history"][-2]["parameters"]["tilts"] == [0, 2, 3, 4, 12]


def test_the_axis_that_is_said_is_the_one_that_is_written(
    cli: Cli, tmp_path: Path
) -> None:
    raw, out = tmp_path / "raw.mrc", tmp_path / "out.mrc"
    settings = ("--phantom", "chiral", "--size", 48, "--tilts=-60:60:5")
    assert cli("simulate", "-o", raw, *settings, "--axis-angle", 4).status == 0
    found = cli("preprocess", raw, "-o", out, "--auto", "--json").json
    first = np.loadtxt(out.with_suffix(".xf"))[0]
    assert found["axis_deg"] == pytest.approx(
        np.rad2deg(np.arctan2(first[1], first[0])), abs=1e-3
    )
    searched = next(s for s in found["history"] if s["name"] == "align_tilt_axis")
    assert found["axis_deg"] != searched["parameters"]["axis_deg"]
    assert 0 < found["axis_spread_deg"] < 5
    assert (
        f"{found['axis_deg']:.2f} +- "
        in cli("preprocess", raw, "-o", out, "--auto").out
    )
    # what was found before and is applied already is not said again
    again = cli("preprocess", out, "-o", tmp_path / "again.mrc", "--json").json
    assert again["axis_deg"] is None


def test_the_axis_of_the_needle(cli: Cli, shared_data: Path, tmp_path: Path) -> None:
    needle = shared_data / "needle" / "needle_unaligned.mrc"
    out = tmp_path / "n.mrc"
    found = cli("preprocess", needle, "-o", out, "--align", "xcorr,axis", "--json").json
    assert "needle_unaligned.rawtlt" in found["angle_source"]
    assert found["axis_deg"] == pytest.approx(10.6, abs=0.5)


def test_settings_of_single_steps_reach_the_history(
    cli: Cli, stack: Path, tmp_path: Path
) -> None:
    steps = ("--background", "bernstein", "--degree", "2,1", "--align", "xcorr,line")
    words = ("background.specimen=otsu", "background.edge_px=1", "xcorr.taper=0.3")
    words += ("xcorr.cumulative=yes", "xcorr.max_shift_px=none")
    chosen = [part for word in words for part in ("--set", word)]
    out = tmp_path / "o.mrc"
    found = cli("preprocess", stack, "-o", out, *steps, *chosen, "--json").json
    history = {step["name"]: step["parameters"] for step in found["history"]}
    background = history["subtract_background"]
    assert background["degree_yx"] == [2, 1]
    assert (background["specimen"], background["edge_px"]) == ("otsu", 1)
    assert 0 <= background["negative_share"] < 1
    assert history["align_cross_correlation"]["taper"] == 0.3
    assert history["align_cross_correlation"]["cumulative"] is True
    assert "align_common_line" in history


def test_a_mask_and_a_box_for_the_background(
    cli: Cli, stack: Path, tmp_path: Path
) -> None:
    mask = np.zeros((24, 24), np.uint8)
    mask[5:19, 5:19] = 1
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    words = ("--background", "bernstein", "--mask", tmp_path / "mask.tif")
    out = tmp_path / "o.mrc"
    found = cli("preprocess", stack, "-o", out, *words, "--json").json
    parameters = found["history"][-1]["parameters"]
    assert np.array_equal(decode_mask(parameters["mask"]), mask > 0)
    said = cli("preprocess", stack, "-o", out, *words).out
    assert f"{parameters['negative_share']:.1%} of the pixels" in said
    words = ("--background", "box-mean", "--set", "background.box=0:4:2:9")
    found = cli("preprocess", stack, "-o", out, *words, "--json").json
    assert found["history"][-1]["parameters"]["box"] == [0, 4, 2, 9]


@pytest.mark.parametrize("words", [["--bin", 2], ["--size", 12], ["--size", 9]])
def test_a_mask_is_made_smaller_with_the_images(
    cli: Cli, stack: Path, tmp_path: Path, words: list[Any]
) -> None:
    mask = np.zeros((13, 24, 24), np.uint8)
    mask[:, 6:18, 8:14] = 1
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    tifffile.imwrite(tmp_path / "one.tif", mask[0])
    out = tmp_path / "o.mrc"
    for name in ("mask.tif", "one.tif"):
        given = ("--background", "constant", "--mask", tmp_path / name)
        found = cli("preprocess", stack, "-o", out, *given, *words, "--json").json
        used = decode_mask(found["history"][-1]["parameters"]["mask"])
        side, factor = used.shape[-1], 24 / used.shape[-1]
        assert found["shape_tyx"] == [13, side, side]
        rows, columns = np.nonzero(used.reshape(-1, side, side)[0])
        # every old pixel of it is covered, and not more than the rim of a new one
        for found_at, low, high in ((rows, 6, 18), (columns, 8, 14)):
            assert low - factor < found_at.min() * factor <= low
            assert high <= (found_at.max() + 1) * factor < high + factor


def test_a_mask_that_does_not_fit_says_how(
    cli: Cli, stack: Path, tmp_path: Path
) -> None:
    mask = np.zeros((5, 24, 24), np.uint8)
    mask[:, 6:18, 8:14] = 255
    tifffile.imwrite(tmp_path / "five.tif", mask)
    imsave(tmp_path / "rgb.png", np.stack([mask[0]] * 3, axis=-1))
    tifffile.imwrite(tmp_path / "small.tif", mask[0, :12, :12])
    for name, why in (
        ("five.tif", "it holds 5 images and the series 13"),
        ("rgb.png", "is a colour image"),
        ("small.tif", "its shape is (12, 12) and the image is (24, 24)"),
    ):
        given = ("--background", "constant", "--mask", tmp_path / name)
        assert why in cli("preprocess", stack, "-o", tmp_path / "o.mrc", *given).problem


def test_the_folder_one_is_in_has_a_name(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "raw"
    (folder / "inner").mkdir(parents=True)
    for angle in (-3, 0, 3):
        image = np.arange(20, dtype=np.float32).reshape(4, 5)
        tifffile.imwrite(folder / f"t_{angle:+d}deg.tif", image)
    for here, name in ((folder, "."), (folder / "inner", "..")):
        monkeypatch.chdir(here)
        found = cli("info", name, "--json").json
        assert (found["name"], found["angles_deg"]) == ("raw", [-3, 0, 3])
        assert read_images(name).name == "raw"


def test_a_pixel_size_is_given_where_the_file_says_none(
    cli: Cli, tmp_path: Path
) -> None:
    images = np.arange(5 * 8 * 10, dtype=np.float32).reshape(5, 8, 10)
    tifffile.imwrite(tmp_path / "raw.tif", images)
    words = ("preprocess", tmp_path / "raw.tif", "--angles=-40:40:20", "--bin", 2)
    answer = cli(*words, "--pixel-size", 0.4, "-o", tmp_path / "out.mrc")
    assert answer.status == 0, answer.err
    assert read_series(tmp_path / "out.mrc").pixel_size_nm == pytest.approx(0.8)
    problem = cli(*words, "--pixel-size", 0, "-o", tmp_path / "no.mrc").problem
    assert "pixel size is not valid" in problem


def test_a_volume_is_said_to_be_one(cli: Cli, tmp_path: Path) -> None:
    truth = tmp_path / "truth.mrc"
    made = cli(
        "simulate", "-o", tmp_path / "s.mrc", "--size", 24, "--truth", truth
    ).status
    assert made == 0
    words = cli("info", truth).out
    assert "a volume of 24 x 24 x 24 voxels (z, y, x)" in words
    assert "angles: unknown" not in words
    assert "constant value" not in words  # empty slices are nothing to doubt
    assert cli("info", truth, "--json").json["volume"] is True
    assert cli("info", tmp_path / "s.mrc", "--json").json["volume"] is False
    assert cli("info", truth, "--angles=0:23:1", "--json").json["volume"] is False
