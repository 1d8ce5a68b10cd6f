"""Tilts that arrive while they are looked for: whole, half, late, twice, broken."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile

from in_use import InUse
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io import FolderWatch, Look, watch

SHAPE = (9, 12)


def picture(value: float) -> np.ndarray:
    image = np.full(SHAPE, value, np.float32)
    image[0, 0] = value + 1
    return image


def put(folder: Path, angle: float, value: float | None = None) -> Path:
    path = folder / f"tilt_{angle:+.1f}.tif"
    tifffile.imwrite(path, picture(angle if value is None else value))
    return path


def angles(look: Look) -> list[float]:
    return [arrival.angle_deg for arrival in look.arrived]


def settled(watched: FolderWatch) -> Look:
    watched.poll()
    return watched.poll()


def test_a_tilt_counts_at_the_second_look_and_once(tmp_path: Path) -> None:
    watched = watch(tmp_path, pattern=r"_([+-]?\d+\.?\d*)\.tif")
    assert watched.poll().arrived == ()
    put(tmp_path, -3.0)
    first = watched.poll()
    assert first.arrived == ()
    assert first.waiting == ("tilt_-3.0.tif",)
    second = watched.poll()
    assert angles(second) == [-3.0]
    np.testing.assert_array_equal(second.arrived[0].image, picture(-3))
    assert angles(watched.poll()) == []
    put(tmp_path, 6.0)
    put(tmp_path, 0.0)
    assert sorted(angles(settled(watched))) == [0.0, 6.0]


def test_half_a_file_is_waited_for(tmp_path: Path) -> None:
    watched = watch(tmp_path, pattern=r"_([+-]?\d+\.?\d*)\.tif")
    path = put(tmp_path, 3.0)
    content = path.read_bytes()
    for length in (0, 40, 200):
        path.write_bytes(content[:length])
        look = watched.poll()
        assert (look.arrived, look.problems) == ((), ())
        assert look.waiting == (path.name,)
    path.write_bytes(content)
    assert angles(settled(watched)) == [3.0]


def test_a_broken_file_is_said_once_and_taken_when_it_is_mended(
    tmp_path: Path,
) -> None:
    watched = watch(tmp_path, pattern=r"_([+-]?\d+\.?\d*)\.tif")
    path = put(tmp_path, 3.0)
    content = path.read_bytes()
    path.write_bytes(b"no image at all" * 20)
    look = settled(watched)
    assert len(look.problems) == 1
    assert path.name in look.problems[0]
    assert settled(watched).problems == ()
    path.write_bytes(content)
    assert angles(settled(watched)) == [3.0]


@pytest.mark.parametrize("stack", [False, True], ids=["folder", "stack"])
def test_what_its_writer_has_to_itself_is_taken_when_that_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stack: bool
) -> None:
    path = tmp_path / "tilt_3.0.mrc"
    with mrcfile.new(path) as file:
        file.set_data(picture(3)[None])
        file.set_image_stack()
    watched = watch(path, "3:3:1") if stack else watch(tmp_path, "3::1")
    with monkeypatch.context() as held:
        held.setattr("builtins.open", InUse(open, path.name))
        look = settled(watched)
        assert look.waiting == (path.name,)
        assert "another program writes it" in look.problems[0]
        look = watched.poll()
        assert (look.waiting, look.problems) == ((path.name,), ())
    assert angles(watched.poll()) == [3.0]  # though nothing of the file has changed


def test_a_tilt_taken_again_comes_again(tmp_path: Path) -> None:
    watched = watch(tmp_path, angles="-3:3:3")
    second = put(tmp_path, 0.0)
    put(tmp_path, 3.0)
    assert angles(settled(watched)) == [-3.0, 0.0]
    tifffile.imwrite(second, np.zeros(SHAPE, np.float32), description="again")
    look = settled(watched)
    assert [(a.name, a.angle_deg) for a in look.arrived] == [
        (second.name, -3.0)  # the first of the two names got the first angle
    ]
    assert look.arrived[0].image.max() == 0


def test_without_a_pattern_the_names_are_read_together(tmp_path: Path) -> None:
    watched = watch(tmp_path)
    for name in ("scan_0", "scan_3"):
        tifffile.imwrite(tmp_path / f"{name}.tif", picture(1))
    look = settled(watched)
    assert look.arrived == ()  # 0 and 3 may be a running number
    assert len(look.waiting) == 2
    tifffile.imwrite(tmp_path / "scan_-3.tif", picture(1))
    assert sorted(angles(settled(watched))) == [-3.0, 0.0, 3.0]


def put_all(folder: Path, *names: str) -> None:
    for name in names:
        tifffile.imwrite(folder / f"{name}.tif", picture(1))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("-3:3:3+symmetric", [0, 3, -3]),
        ("-3::3", [-3, 0, 3]),
        ("-3::3+negated", [3, 0, -3]),
        ("{folder}/list.tlt+reversed", [6, 5, 4]),
        ("{folder}/table.csv+column2", [7, 8, 9]),
        ("{folder}/other.mrc", [4, 5, 6]),
        (r"names:_([np]?\d+)", [-2, 0, 2]),
        (r"names:_([np]?\d+)+negated", [2, 0, -2]),
        ("names", [-2, 0, 2]),
    ],
)
def test_angles_are_given_in_every_form(
    tmp_path: Path, given: str, expected: list[float]
) -> None:
    (tmp_path / "list.tlt").write_text("4\n5\n6\n")
    (tmp_path / "other.tlt").write_text("4\n5\n6\n")
    (tmp_path / "table.csv").write_text("1,7\n2,8\n3,9\n")
    with mrcfile.new(tmp_path / "other.mrc") as file:
        file.set_data(np.stack([picture(k) for k in range(3)]))
    raw = tmp_path / "raw"
    raw.mkdir()
    watched = watch(raw, angles=given.format(folder=tmp_path))
    put_all(raw, "a_n2", "b_0", "c_p2")
    look = settled(watched)
    assert angles(look) == expected
    assert look.unplaced == ()


def test_angles_of_a_stack_that_grows_without_end(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "s.mrc") as file:
        file.set_data(np.stack([picture(k) for k in range(3)]))
        file.set_image_stack()
    assert angles(settled(watch(tmp_path / "s.mrc", "-6::2"))) == [-6, -4, -2]
    with pytest.raises(UserError, match="not in a folder"):
        watch(tmp_path / "s.mrc", "names")
    with pytest.raises(UserError, match="cannot be used with a stack"):
        watch(tmp_path / "s.mrc", pattern="_(.*)")


def test_n_and_p_in_a_name_are_signs_in_a_pattern_too(tmp_path: Path) -> None:
    watched = watch(tmp_path, pattern=r"s_([np]\d+)")
    put_all(tmp_path, "s_n30", "s_p30", "other")
    look = settled(watched)
    assert angles(look) == [-30, 30]
    assert look.waiting == look.unplaced == ("other.tif",)


def test_angles_that_need_to_know_all_tilts_are_refused(tmp_path: Path) -> None:
    for given in ("-60::3+symmetric", "names+sorted"):
        with pytest.raises(UserError, match="how many tilts will come is not known"):
            watch(tmp_path, given)
    with pytest.raises(UserError, match="cannot be used together"):
        watch(tmp_path, "-60::3", "_(.*)")


def test_an_mdoc_beside_the_file_and_an_image_of_another_size(tmp_path: Path) -> None:
    watched = watch(tmp_path)
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(picture(5)[None])
    (tmp_path / "a.mrc.mdoc").write_text("[FrameSet = 0]\nTiltAngle = 12.5\n")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((4, 4), np.float32))
    look = settled(watched)
    assert angles(look) == [12.5]
    assert "4 x 4" in look.problems[0]


def test_an_overview_that_lies_there_first_does_not_say_the_size(
    tmp_path: Path,
) -> None:
    watched = watch(tmp_path, pattern=r"_([+-]?\d+\.?\d*)\.tif")
    tifffile.imwrite(tmp_path / "overview.tif", np.zeros((40, 40), np.float32))
    assert settled(watched).unplaced == ("overview.tif",)
    put(tmp_path, -10)
    assert angles(settled(watched)) == [-10]
    look = watched.poll()
    assert "overview.tif is left out: it has 40 x 40" in look.problems[0]
    assert not look.waiting
    put(tmp_path, 0)
    assert angles(settled(watched)) == [0]


def test_a_stack_grows(tmp_path: Path) -> None:
    path = tmp_path / "series.mrc"
    watched = watch(path)
    assert watched.poll().waiting == ("series.mrc",)
    mdoc = tmp_path / "series.mrc.mdoc"
    seen: list[float] = []
    values = [0.0, 3.0, -3.0, 6.0]
    for count in range(1, 5):
        with mrcfile.new(path, overwrite=True) as file:
            file.set_data(np.stack([picture(v) for v in values[:count]]))
            file.set_image_stack()
        if count != 3:  # the side-car may be late
            entries = enumerate(values[:count])
            text = [f"[ZValue = {n}]\nTiltAngle = {v}\n" for n, v in entries]
            mdoc.write_text("".join(text))
        look = settled(watched)
        for arrival in look.arrived:
            assert arrival.image[3, 3] == arrival.angle_deg
        seen += angles(look)
        assert len(seen) == (count if count != 3 else 2)
    assert seen == values
    content = path.read_bytes()
    path.write_bytes(content[:-40])  # cut short: said, and nothing taken back
    look = settled(watched)
    assert look.arrived == ()
    assert "whole ones" in look.problems[0]
    assert settled(watched).problems == ()


def test_what_cannot_be_watched_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be watched"):
        watch(tmp_path / "nothing")
    with pytest.raises(UserError, match="no group"):
        watch(tmp_path, pattern="tilt")
    watched = watch(tmp_path)
    tmp_path.rmdir()
    with pytest.raises(UserError, match="cannot be looked at"):
        watched.poll()


def test_a_renamed_file_is_the_same_tilt(tmp_path: Path) -> None:
    watched = watch(tmp_path, pattern=r"_([+-]?\d+\.?\d*)\.tif")
    late = tmp_path / "writing.tif"  # no angle in this name
    tifffile.imwrite(late, picture(7))
    assert settled(watched).waiting == ("writing.tif",)
    late.rename(tmp_path / "tilt_+7.0.tif")
    look = watched.poll()
    assert (angles(look), look.waiting) == ([7.0], ())
    assert look.arrived[0].before == ""  # it never was a tilt under its first name
    wrong = put(tmp_path, 9.0)
    assert angles(settled(watched)) == [9.0]
    wrong.rename(tmp_path / "tilt_+12.0.tif")
    look = watched.poll()
    assert [(a.before, a.angle_deg) for a in look.arrived] == [("tilt_+9.0.tif", 12.0)]
    assert angles(settled(watched)) == []


def test_a_renamed_file_keeps_the_angle_it_was_given(tmp_path: Path) -> None:
    watched = watch(tmp_path, angles="-3:3:3")
    first = put(tmp_path, 1.0)
    assert angles(settled(watched)) == [-3.0]
    first.rename(tmp_path / "z.tif")
    assert angles(watched.poll()) == [-3.0]
    put(tmp_path, 2.0)
    assert angles(settled(watched)) == [0.0]


def test_a_file_taken_away_is_no_longer_waited_for(tmp_path: Path) -> None:
    watched = watch(tmp_path, pattern=r"_([+-]?\d+\.?\d*)\.tif")
    taken = put(tmp_path, 3.0)
    nameless = tmp_path / "a.tif"
    tifffile.imwrite(nameless, picture(1))
    assert settled(watched).waiting == ("a.tif",)
    nameless.unlink()
    taken.unlink()
    look = settled(watched)
    assert (look.arrived, look.waiting, look.problems) == ((), (), ())


@pytest.mark.parametrize("stray_first", [True, False])
def test_a_file_without_an_angle_holds_no_other_back(
    tmp_path: Path, stray_first: bool
) -> None:
    watched = watch(tmp_path)
    found = []
    for number, angle in enumerate((-10.0, 0.0, 10.0)):
        if stray_first == (number == 0):
            tifffile.imwrite(tmp_path / "overview.tif", picture(7))
        tifffile.imwrite(
            tmp_path / f"needle_{number:03d}_{angle:.1f}.tif", picture(angle)
        )
        look = settled(watched)
        found += angles(look)
    assert found == [-10.0, 0.0, 10.0]
    assert look.unplaced == ("overview.tif",)


def test_the_fewer_names_of_another_kind_are_no_tilts(tmp_path: Path) -> None:
    watched = watch(tmp_path)
    for number, angle in enumerate((-10.0, 0.0, 10.0)):
        tifffile.imwrite(
            tmp_path / f"needle_{number:03d}_{angle:.1f}.tif", picture(angle)
        )
    assert sorted(angles(settled(watched))) == [-10.0, 0.0, 10.0]
    strays = ("map_10.5.tif", "map_30.5.tif", "overview.tif")
    for name in strays:
        tifffile.imwrite(tmp_path / name, picture(7))
    look = settled(watched)
    assert angles(look) == []
    assert look.unplaced == strays
