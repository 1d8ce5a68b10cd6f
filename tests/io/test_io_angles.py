"""Angles from text: what is understood, and what is refused instead of guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io import parse_angles, read_angles, write_tlt
from napari_inr_tomo.io.angles import resolve_angles
from napari_inr_tomo.io.folder import angles_from_names, natural_key
from napari_inr_tomo.io.mdoc import read_mdoc


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-60:60:30", [-60, -30, 0, 30, 60]),
        ("60:-60:-40", [60, 20, -20, -60]),
        ("0:10:4", [0, 4, 8]),  # the stop does not fit
        ("0:0.3:0.1", [0, 0.1, 0.2, 0.3]),  # it does, in spite of rounding
        (" -1.5 : 1.5 : 1.5 ", [-1.5, 0, 1.5]),
        ("5:5:1", [5]),
        ("-60, -58, 3.5", [-60, -58, 3.5]),
        ("-30 30", [-30, 30]),
        ("1\n-2\n\n3.5\n", [1, -2, 3.5]),
        ("# made by hand\n1e1\n-2.0  # second\n", [10, -2]),
        ("0 -60\n1 -58\n2 -56\n", [-60, -58, -56]),
        ("1,-60\n2,-58\n3,-56\n", [-60, -58, -56]),
        ("tilt,angle_deg,used\n0,-60,1\n1,-50,0\n2,-40,1\n", [-60, -50, -40]),
        ("Angle (deg)\n-3\n4\n", [-3, 4]),
        ("index;Tilt Angle\n", None),
        ("\u221212.5\n+12.5\n", [-12.5, 12.5]),
        ("-10deg\n10°\n", [-10, 10]),
        ('"tilt","angle"\n"1","-10"\n"2","12.5"\n', [-10, 12.5]),
    ],
)
def test_texts_that_are_angles(text: str, expected: list[float] | None) -> None:
    if expected is None:
        with pytest.raises(UserError, match="no tilt angles"):
            parse_angles(text)
    else:
        np.testing.assert_allclose(parse_angles(text), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("0:60:0", "step is zero"),
        ("0:60:-2", "leads away"),
        ("0:1e12:1", "too long"),
        ("", "no tilt angles"),
        ("11/18/11 10:36:43  Max tilt: 76\n11/18/11 tilt", "no tilt angles"),
        ("1\n2\nnonsense\n3\n", "line 3"),
        ("1 2\n3\n", "different numbers"),
        ("-60,5\n-58,5\n-56,5\n", "decimal"),  # decimal commas
        ("5 -60\n6 -58\n", "running"),
        ("0 1 2\n1 2 3\n", "3 values"),
    ],
)
def test_texts_that_are_refused(text: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        parse_angles(text)


@pytest.mark.parametrize("title", ["Tilt Angle (deg)", "tilt angle", "Angle [deg]"])
def test_titles_with_blanks_and_units(title: str) -> None:
    text = f'Image,"{title}",Dose\n5,-60,1\n6,-58,2\n9,-56,3\n'
    assert parse_angles(text).tolist() == [-60, -58, -56]


@pytest.mark.parametrize("code", ["utf-16", "utf-16-be"])
def test_unicode_text_of_a_spreadsheet(tmp_path: Path, code: str) -> None:
    text = ("" if code == "utf-16" else "\ufeff") + "Tilt Angle\tDose\n-60\t1\n-57\t2"
    (tmp_path / "a.txt").write_bytes(text.encode(code))
    assert read_angles(tmp_path / "a.txt").tolist() == [-60, -57]


def test_angles_written_are_read(tmp_path: Path) -> None:
    angles = np.array([-60.125, 0.0, 2.000001, -75.5])
    write_tlt(tmp_path / "a.tlt", angles)
    np.testing.assert_allclose(read_angles(tmp_path / "a.tlt"), angles, atol=5e-7)


def test_latin1_and_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("# Kippwinkel \u00b0\n1\n2\n".encode("latin-1"))
    (tmp_path / "b.txt").write_bytes("\ufeff1\n2\n".encode())
    assert read_angles(tmp_path / "a.txt").tolist() == [1, 2]
    assert read_angles(tmp_path / "b.txt").tolist() == [1, 2]


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02", b"\x89PNG\r\n\x1a\n\0"])
def test_files_that_are_no_text(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tlt").write_bytes(content)
    with pytest.raises(UserError):
        read_angles(tmp_path / "a.tlt")


def test_given_angles_say_where_they_come_from(tmp_path: Path) -> None:
    write_tlt(tmp_path / "mine.tlt", np.arange(3.0))
    assert resolve_angles(tmp_path / "mine.tlt")[1] == "given file mine.tlt"
    assert resolve_angles("0:4:2")[1] == "given as 0:4:2"
    assert resolve_angles([1.0, 2.0])[0].tolist() == [1, 2]
    with pytest.raises(UserError, match="neither a file"):
        resolve_angles("no/such/file.tlt")
    with pytest.raises(UserError, match="does not exist"):
        resolve_angles(tmp_path / "no.tlt")


MDOC = """PixelSpacing = 10
[T =     Tilt axis angle = -94.5, binning = 2]

[ZValue = 1]
TiltAngle = 3.0
[ZValue = 0]
TiltAngle = -0.5
PixelSpacing = 20
[MontSection = 0]
TiltAngle = 99
"""


def mdoc(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "x.mdoc"
    path.write_text(text)
    return path


def test_mdoc_sections_are_put_in_stack_order(tmp_path: Path) -> None:
    read = read_mdoc(mdoc(tmp_path, MDOC))
    assert read.angles().tolist() == [-0.5, 3.0]
    assert read.axis_deg == -94.5
    assert read.pixel_size_nm == pytest.approx(1.0)
    assert read.notices == ()


def test_mdoc_frame_sets_stay_in_order_of_acquisition(tmp_path: Path) -> None:
    text = "".join(f"[FrameSet = 0]\nTiltAngle = {a}\n" for a in (0, 3, -3))
    read = read_mdoc(mdoc(tmp_path, text))
    assert read.angles().tolist() == [0, 3, -3]
    assert "order of acquisition" in read.notices[0]


def test_mdoc_duplicates_and_gaps_are_told(tmp_path: Path) -> None:
    text = "".join(
        f"[ZValue = {z}]\nTiltAngle = {a}\n"
        for z, a in ((0, 0), (1, 9), (1, 3), (3, 6))
    )
    read = read_mdoc(mdoc(tmp_path, text))
    assert read.angles().tolist() == [0, 3, 6]
    assert "twice" in read.notices[0]
    assert "images 2 of" in read.notices[1]


@pytest.mark.parametrize(
    "text",
    [
        "PixelSpacing = 1\n",
        "[ZValue = 0]\nDefocus = 1\n",
        "[ZValue = 0]\nTiltAngle = seven\n",
        "[ZValue = one]\nTiltAngle = 7\n",
    ],
)
def test_mdoc_without_angles_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError):
        read_angles(mdoc(tmp_path, text))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a_012_-36.0", "a_013_-33.0", "a_014_0.0"], [-36, -33, 0]),
        (["a_000_0.0_Mar31", "a_001_3.0_Mar31", "a_002_-3.0_Mar31"], [0, 3, -3]),
        (["t_n36", "t_n03.5", "t_0", "t_p36"], [-36, -3.5, 0, 36]),
        (["t_n36", "t_n03.5", "t_7", "t_p36"], None),  # one name breaks the pattern
        (["t_n36", "t_n03.5", "t_p0", "t_p36"], [-36, -3.5, 0, 36]),
        (["t_m36", "t_p36"], [-36, 36]),
        (["x-36deg", "x_0deg", "x_+36deg"], [-36, 0, 36]),
        (["x_-36.5degrees_1", "x_2 degrees_2"], [-36.5, 2]),
        (["film10deg_v2", "film20deg_v2"], [10, 20]),
        (["HAADF_-60", "HAADF_-30", "HAADF_0", "HAADF_30"], [-60, -30, 0, 30]),
        (["HAADF_0.0", "HAADF_1.5"], [0, 1.5]),
        (["img001", "img002", "img003"], None),
        (["img_001", "img_002", "img_003"], None),
        (["img_0", "img_2", "img_4"], None),  # plain integers may be anything
        (["img-1", "img-2", "img-3"], None),  # hyphens
        (["img-0deg", "img-2deg"], None),
        (["p001", "p002", "p003"], None),  # pages
        (["p0", "p2", "p4"], [0, 2, 4]),
        (["a_400", "a_-400"], None),
        (["same_-3", "same_-3"], None),
        (["t_\u221260deg", "t_0deg", "t_60deg"], [-60, 0, 60]),
        (["tilt\u221236deg", "tilt\u221233deg"], [-36, -33]),  # never a hyphen
        (["a_012_\u221236.0", "a_013_3.0"], [-36, 3]),
        (["t_\u221260", "t_60"], [-60, 60]),
        (["t_\u201360deg", "t_0deg"], [-60, 0]),  # a dash
        (["tilt\u20133deg", "tilt\u20136deg"], None),
        (["scan1\u20133deg", "scan1\u20136deg"], [3, 6]),
    ],
)
def test_angles_in_file_names(names: list[str], expected: list[float] | None) -> None:
    found = angles_from_names(names)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        np.testing.assert_allclose(found, expected)


def test_natural_order() -> None:
    names = ["t10.tif", "t2.tif", "T1.tif"]
    assert sorted(names, key=natural_key) == ["T1.tif", "t2.tif", "t10.tif"]
