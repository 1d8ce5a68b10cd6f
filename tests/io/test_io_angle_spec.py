"""Angles as they are asked for, and what a list of them is in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io import (
    AngleSpec,
    angle_order,
    angles_by_name,
    describe_angles,
    given_angles,
    image_names,
    read_angles,
    read_series,
    write_series,
)
from napari_inr_tomo.io.tiff import write_tiff
from napari_inr_tomo.types import TiltSeries


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-60:60:30", [-60, -30, 0, 30, 60]),
        ("-60::30", [-60, -30, 0, 30, 60]),
        ("60 :: -30", [60, 30, 0, -30, -60]),
        ("-60:60:30+reversed", [60, 30, 0, -30, -60]),
        ("-60:60:30+negated", [60, 30, 0, -30, -60]),
        ("0:2:1+negated+reversed", [-2, -1, 0]),
        ("9:9:3+symmetric", [9]),
        ("-6:6:3+symmetric", [0, 3, -3, -6, 6]),
        ("-6:6:3+alternating", [0, 3, -3, 6, -6]),
        ("-6:6:3+symmetric+negated", [0, -3, 3, 6, -6]),
        ("-3:9:3+symmetric", [0, 3, -3, 6, 9]),  # one side is longer
        ("3 -6 0 6 -3+sorted", [-6, -3, 0, 3, 6]),
        ("0, 1.5707963267948966+radians", [0, 90]),
        ("0 +3 -3", [0, 3, -3]),  # a plus sign is no word
        ("-60,5\n-58,5\n-56,0+comma", [-60.5, -58.5, -56]),
        ("-60 1 7\n-58 2 7+column1", [-60, -58]),
        ("No\tWinkel\tmA\n1\t-60,5\t3,1\n2\t-58\t3,0+column2+comma", [-60.5, -58]),
        ("image\tangle\n1\t-60.5\n2\t-58.5\n", [-60.5, -58.5]),
        ("\n".join(["-12.5"] * 800), [-12.5] * 800),  # longer than any path
    ],
)
def test_what_is_understood(text: str, expected: list[float]) -> None:
    values, source = given_angles(text, count=5)
    np.testing.assert_allclose(values, expected, atol=1e-9)
    assert source.startswith("given as")
    for word in AngleSpec.parse(text).words:
        assert word in source


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("-60::2", "no end"),
        ("0::1.2.3", "not understood"),
        ("-60:60:2+upwards", "neither a file"),
        ("1 2\n3 4+column3", "no column 3"),
        ("names", "no file names"),
        ("+sorted", "No angles"),
    ],
)
def test_what_is_refused(text: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        given_angles(text, count=3 if "1.2.3" in text else None)


def test_words_are_split_off_and_joined_again(tmp_path: Path) -> None:
    spec = AngleSpec.parse("a b.tlt+radians+column3")
    assert spec == AngleSpec("a b.tlt", ("radians", "column3"))
    assert AngleSpec.parse(spec.text()) == spec
    odd = tmp_path / "tilts+sorted"
    odd.write_text("3\n-1\n")
    assert given_angles(str(odd))[0].tolist() == [3, -1]  # a file of this very name


def test_the_angles_of_another_stack_and_of_a_table(tmp_path: Path) -> None:
    images = np.zeros((3, 8, 8), np.float32)
    series = TiltSeries(images, [5.0, -5, 0])
    write_series(tmp_path / "haadf.mrc", series)
    write_tiff(tmp_path / "map.tif", images, None, "TYX")
    found = read_series(tmp_path / "map.tif", str(tmp_path / "haadf.mrc"))
    assert found.angles_deg.tolist() == [5, -5, 0]
    assert "haadf.mrc, side-car" in found.angle_source
    with pytest.raises(UserError, match="does not say its tilt angles"):
        given_angles(str(tmp_path / "map.tif"))
    (tmp_path / "log.csv").write_text("time;tilt\n10,5;-3,25\n11,5;0\n12,5;3,5\n")
    words = f"{tmp_path / 'log.csv'}+comma+column2"
    assert given_angles(words)[0].tolist() == [-3.25, 0, 3.5]


NAMES = ("a_x3_-6,5deg_01.tif", "a_x3_n3,0deg_02.tif", "a_x3_p3,0deg_03.tif")


def test_file_names_by_a_pattern() -> None:
    assert angles_by_name(NAMES, r"_([-nmp]?\d+,\d)deg").tolist() == [-6.5, -3, 3]
    assert angles_by_name(["t_-36.0.tif", "t_+2.0.tif"]).tolist() == [-36, 2]
    for pattern in (r"(-?\d+)deg", "([\u2212-]?[0-9]+)deg"):
        assert angles_by_name(["t_\u22126deg", "t_6deg"], pattern).tolist() == [-6, 6]
    for pattern, match in (
        (r"_([-np]?\d+", "regular expression"),
        (r"\d+deg", "brackets"),
        (r"_(\d+)grad", "nothing"),
        (r"(a_x)", "'a_x', which is no number"),
    ):
        with pytest.raises(UserError, match=match):
            angles_by_name(NAMES, pattern)
    with pytest.raises(UserError, match="do not plainly"):
        angles_by_name(["tilt1.tif", "tilt2.tif"])


def test_a_folder_with_a_pattern_keeps_image_and_angle_together(
    tmp_path: Path,
) -> None:
    """Names that mislead the usual reading; the images know better."""
    for k, angle in enumerate([4, -2, 0]):
        write_tiff(
            tmp_path / f"run{k}_tilt({angle})_end{k}.tif",
            np.full((1, 6, 6), angle + 0.5, np.float32),
            None,
            "TYX",
        )
    series = read_series(tmp_path, r"names:tilt\((-?\d+)\)")
    assert sorted(series.angles_deg) == [-2, 0, 4]
    np.testing.assert_allclose(series.images[:, 0, 0], series.angles_deg + 0.5)
    assert image_names(tmp_path)[0].startswith("run0")


@pytest.mark.parametrize(
    ("angles", "order"),
    [
        (np.arange(-60, 61, 3), "rising"),
        (np.arange(60, -61, -3), "falling"),
        ([0, 3, -3, -6, 6, 9, -9], "dose-symmetric"),
        ([0, 3, -3, 6, -6, 9, -9], "dose-symmetric"),
        ([0, 3, 6, -3, -6, -9, -12, 9, 12, 15, 18, -15, -18], "dose-symmetric"),
        ([10, 13, 7, 4, 16, 19, 1], "dose-symmetric"),  # about a pre-tilt
        ([0, -2, -4, -6, 0, 2, 4, 6], "two branches"),
        ([0, 2, 4, 6, -2, -4, -6], "two branches"),
        ([0, 5, -60, 30, 2, -7], "mixed"),
        ([4, 4, 4], "rising"),
    ],
)
def test_order(angles: list[float], order: str) -> None:
    assert angle_order(angles) == order


@pytest.mark.parametrize(
    ("angles", "sentence"),
    [
        (
            np.arange(-70, 71),
            "141 angles, -70 to 70 degrees in steps of 1; in rising order.",
        ),
        (
            [0, 0, 3, -3, -3, -6, 6],
            "7 angles, -6 to 6 degrees in steps of 3; in dose-symmetric order; "
            "2 duplicates.",
        ),
        (
            [0, -2, -4, 0, 2, 4],
            "6 angles, -4 to 4 degrees in steps of 2; in two branches from 0; "
            "1 duplicate.",
        ),
        (
            [-6, -4, -2, 0, 4, 6],
            "6 angles, -6 to 6 degrees in steps of 2; in rising order; 1 missing: 2.",
        ),
        (
            [-10, -9, -5, 3, 4.5],
            "5 angles, -10 to 4.5 degrees, 1 to 8 apart; in rising order.",
        ),
        ([7, 7], "2 angles, all 7 degrees; 1 duplicate."),
        ([7], "One angle, 7 degrees."),
        ([], "No angles."),
        ([0, np.nan], "2 angles, 1 of them no numbers."),
    ],
)
def test_sentence(angles: list[float], sentence: str) -> None:
    assert describe_angles(angles) == sentence


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Co2P_tilt_angles_74.rawtlt", "2 missing: 23, 25"),
        ("serialem_L1_ts_001.mrc.mdoc", "in steps of 3; in dose-symmetric order"),
        ("fei_etspy_HAADF_77.rawtlt", "77 angles, -76 to 76 degrees in steps of 2"),
        ("imod_TS_001/TS_001.rawtlt", "40 angles, -60 to 56.99 degrees in steps of 3"),
    ],
)
def test_real_lists(shared_data: Path, name: str, words: str) -> None:
    assert words in describe_angles(read_angles(shared_data / "metadata" / name))
