"""Alignments of other programs: a projected point lands where their convention says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.geometry import project_points, rz
from napari_inr_tomo.io import (
    ALIGNMENT_OUT_SUFFIXES,
    read_alignment,
    read_angles,
    read_xf,
    recorded_alignment,
    tomviz_turns_rows,
    write_alignment,
    write_series,
    write_xf,
)
from napari_inr_tomo.io.series import apply_poses
from napari_inr_tomo.types import Alignment, Poses, TiltSeries

ANGLES = np.array([12.0, -60.0, 0.0, 57.0, -31.5])
SHAPE_YX = (21, 34)


def random_poses(axis_deg: float = 94.0, seed: int = 5) -> Poses:
    rng = np.random.default_rng(seed)
    z3 = axis_deg + rng.uniform(-2, 2, len(ANGLES))
    z1 = np.full(len(ANGLES), -np.mean(z3))
    return Poses(z1, z3, *rng.uniform(-6, 6, (2, len(ANGLES))))


def alignment(poses: Poses | None = None) -> Alignment:
    used = np.array([True, True, True, False, True])
    found = random_poses() if poses is None else poses
    return Alignment(found, ANGLES, used, 0.7, SHAPE_YX)


# AreTomo --------------------------------------------------------------------------

ALN = """# AreTomo Alignment / Priims bprmMn
# RawSize = 34 21 5
# NumPatches = 0
# DarkFrame =     4    4    57.00
# AlphaOffset =     {offset:.2f}
# BetaOffset =     0.00
# SEC     ROT         GMAG       TX          TY      SMEAN     SFIT    SCALE     BASE     TILT
"""  # noqa: E501


def aln_text(rot: np.ndarray, shift: np.ndarray, offset: float) -> str:
    lines = [
        f"{tilt + 1:5d} {rot[tilt]:9.4f} {1:9.5f} {shift[tilt, 0]:9.3f} "
        f"{shift[tilt, 1]:9.3f} {1:7.2f} {1:7.2f} {1:7.2f} {0:7.2f} "
        f"{ANGLES[tilt] + offset:8.2f}\n"
        for tilt in np.argsort(ANGLES)
        if tilt != 3
    ]
    return ALN.format(offset=offset) + "".join(lines)


def test_aretomo_puts_points_where_our_poses_do(tmp_path: Path) -> None:
    """u = A (p - T), A = [[cos, sin], [-sin, cos]]: x cos + z sin and y in IMOD."""
    rng = np.random.default_rng(2)
    rot = 83.9 + rng.uniform(-1, 1, 5).round(3)
    shift = rng.uniform(-9, 9, (5, 2)).round(3)
    (tmp_path / "a.aln").write_text(aln_text(rot, shift, 3.5))
    found = read_alignment(tmp_path / "a.aln")
    np.testing.assert_allclose(found.angles_deg, ANGLES, atol=1e-9)
    assert found.used is not None
    assert found.used.tolist() == [True, True, True, False, True]
    assert found.shape_yx == SHAPE_YX
    assert "3.5 degrees" in found.notices[0]
    assert len(found.notices) == 1
    patched = aln_text(rot, shift, 0.0).replace("NumPatches = 0", "NumPatches = 16")
    (tmp_path / "patched.aln").write_text(patched)
    (said,) = read_alignment(tmp_path / "patched.aln").notices
    assert "local shifts" in said
    points = rng.uniform(-9, 9, (7, 3))
    landed = project_points(points, ANGLES, found.poses)
    turn = np.deg2rad(rot)
    c, s = np.cos(turn)[:, None], np.sin(turn)[:, None]
    x, y = np.moveaxis(landed - shift[:, None], -1, 0)
    aligned = np.stack([c * x + s * y, -s * x + c * y], -1)
    body = points @ rz(found.poses.z1_deg[0] + 90).T
    tilt = np.deg2rad(ANGLES)[:, None]
    across = body[:, 0] * np.cos(tilt) + body[:, 2] * np.sin(tilt)
    wanted = np.stack([across, np.broadcast_to(body[:, 1], across.shape)], -1)
    used = found.used
    np.testing.assert_allclose(aligned[used], wanted[used], atol=1e-9)


def test_aretomo_agrees_with_the_xf_it_writes_beside(tmp_path: Path) -> None:
    """AreTomo's own .xf has A11 = cos ROT, A12 = sin ROT and D = -A (TX, TY)."""
    write_alignment(tmp_path / "b.aln", alignment())
    table = np.loadtxt(tmp_path / "b.aln")
    rot, shift = np.deg2rad(table[:, 1]), table[:, 3:5]
    matrix = np.moveaxis(
        np.array([[np.cos(rot), np.sin(rot)], [-np.sin(rot), np.cos(rot)]]), -1, 0
    )
    rows = np.c_[matrix.reshape(-1, 4), -np.einsum("tij,tj->ti", matrix, shift)]
    np.savetxt(tmp_path / "b.xf", rows)
    used = np.argsort(ANGLES)
    used = used[used != 3]
    ours = random_poses().take(used).as_array()
    found = read_xf(tmp_path / "b.xf").as_array()
    np.testing.assert_allclose(found[:, 1:], ours[:, 1:], atol=2e-3)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("# AreTomo Alignment\n", "ten numbers"),
        ("1 0 1 0 0 1 1 1 0\n", "ten numbers"),
        ("1 0 1.2 0 0 1 1 1 0 5\n", "GMAG"),
    ],
)
def test_garbled_aln(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "c.aln").write_text(text)
    with pytest.raises(UserError, match=match):
        read_alignment(tmp_path / "c.aln")


# tomviz ---------------------------------------------------------------------------


def dots(at_yx: list[tuple[int, int]]) -> TiltSeries:
    images = np.zeros((len(at_yx), *SHAPE_YX), np.float32)
    for tilt, (row, column) in enumerate(at_yx):
        images[tilt, row, column] = 1
    return TiltSeries(images, np.arange(len(at_yx)) - 1.0)


@pytest.mark.parametrize("rows_turned", [False, True])
@pytest.mark.parametrize("suffix", [".json", ".npz", ".tvsm"])
def test_tomviz_moves_what_our_poses_bring_back(
    tmp_path: Path, suffix: str, rows_turned: bool
) -> None:
    """Shift (x, y) moves tomviz's array; ours, rows turned or not, must follow."""
    series = dots([(10, 17), (4, 20), (15, 9)])
    centre_yx = (10, 17)
    shown = series.images[:, ::-1] if rows_turned else series.images
    offsets = []
    for image in shown:
        row, column = np.argwhere(image)[0].tolist()
        offsets.append([centre_yx[1] - column, centre_yx[0] - row])
    for image, (x, y) in zip(shown, offsets, strict=True):
        assert np.roll(image, (y, x), (0, 1))[centre_yx] == 1
    path = tmp_path / f"shifts{suffix}"
    if suffix == ".npz":
        np.savez(path, offsets=np.array(offsets), spacing=np.array([2.0, 2.0, 1.0]))
    else:
        state = {"operators": [{"type": "Translation", "offsets": offsets}]}
        path.write_text(json.dumps(offsets if suffix == ".json" else state))
    found = read_alignment(path, flip_y=rows_turned)
    moved = apply_poses(series.evolve(poses=found.poses)).images
    row = 2 * 10 - centre_yx[0] if rows_turned else centre_yx[0]
    assert (np.rint(moved[:, row, centre_yx[1]]) == 1).all()
    assert not found.turns
    assert found.pixel_size_nm == (2.0 if suffix == ".npz" else None)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("[]", "empty"),
        ("[[1, 2, 3]]", "pairs"),
        ("{}", "0 alignments"),
        ('{"a": {"offsets": [1, 2]}, "b": {"offsets": [3, 4]}}', "2 alignments"),
        ("no json", "JSON"),
    ],
)
def test_files_that_are_not_tomviz(tmp_path: Path, content: str, match: str) -> None:
    (tmp_path / "d.json").write_text(content)
    with pytest.raises(UserError, match=match):
        read_alignment(tmp_path / "d.json")


def test_tiff_is_what_tomviz_turns_over(tmp_path: Path) -> None:
    assert tomviz_turns_rows(tmp_path / "a.tif")
    assert tomviz_turns_rows(tmp_path)  # a folder of pictures
    assert not tomviz_turns_rows(tmp_path / "a.mrc")
    assert not tomviz_turns_rows(None)


# all of them ------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ALIGNMENT_OUT_SUFFIXES)
def test_what_is_written_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"e{suffix}"
    wanted = alignment()
    lost = write_alignment(path, wanted)
    if suffix == ".tlt":
        np.testing.assert_allclose(read_angles(path), ANGLES, atol=1e-6)
        return
    found = read_alignment(path)
    used = np.ones(5, bool) if found.used is None else wanted.used
    ours, theirs = wanted.poses.as_array()[used], found.poses.as_array()[used]
    first = {".json": 2, ".npz": 2, ".aln": 1}.get(suffix, 0)
    accuracy = {".csv": 0, ".xf": 2e-5, ".aln": 1e-3, ".json": 0.5, ".npz": 1e-12}
    np.testing.assert_allclose(
        theirs[:, first:], ours[:, first:], atol=accuracy[suffix] + 1e-12
    )
    if found.angles_deg is not None:
        np.testing.assert_allclose(found.angles_deg, ANGLES, atol=5e-3)
    assert any("whole pixels" in line for line in lost) == (suffix == ".json")


def test_what_a_format_cannot_hold_is_said(tmp_path: Path) -> None:
    poses = random_poses()
    bent = Poses(poses.z1_deg + np.arange(5), poses.z3_deg, poses.dx_px, poses.dy_px)
    for name in ("f.xf", "f.aln"):
        assert "z1" in write_alignment(tmp_path / name, alignment(bent))[0]
    assert not write_alignment(tmp_path / "f.csv", alignment(bent))


def test_the_files_beside_a_written_stack(tmp_path: Path) -> None:
    """Its .xf has the axis along x; its record holds the alignment that was applied."""
    series = dots([(10, 17)] * 5).evolve(
        angles_deg=ANGLES, poses=random_poses(8.0), pixel_size_nm=0.7
    )
    write_series(tmp_path / "out.mrc", series)
    beside = read_alignment(tmp_path / "out.xf").poses
    np.testing.assert_allclose(
        beside.as_array(), series.start_poses.as_array(), atol=5e-5
    )
    recorded = recorded_alignment(tmp_path / "out.mrc")
    np.testing.assert_array_equal(
        recorded.poses.as_array(), series.start_poses.as_array()
    )
    assert (recorded.pixel_size_nm, recorded.shape_yx) == (0.7, SHAPE_YX)
    for name in ("out.xf", "out.json", "out.tlt"):
        with pytest.raises(UserError, match="stack beside it"):
            write_alignment(tmp_path / name, alignment())
    with pytest.raises(UserError, match="no record"):
        recorded_alignment(tmp_path / "other.mrc")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_alignment(tmp_path / "a.xf")


@pytest.mark.parametrize("name", ["a.tlt", "a.tif", "a"])
def test_other_files_are_no_alignments(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="not a format for alignments"):
        read_alignment(tmp_path / name)


@pytest.mark.parametrize("name", ["imod_TS_001/TS_001.xf", "warp_00254.xf"])
def test_real_transforms_survive_reading_and_writing(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    """Every image point goes where the original transform sends it, to 0.02 px."""
    source = shared_data / "metadata" / name
    write_xf(tmp_path / "again.xf", read_alignment(source).poses)
    before, after = np.loadtxt(source), np.loadtxt(tmp_path / "again.xf")
    stretch = np.abs(np.linalg.det(before[:, :4].reshape(-1, 2, 2)) - 1).max()
    np.testing.assert_allclose(after[:, :4], before[:, :4], atol=1e-3 + stretch)
    np.testing.assert_allclose(
        after[:, 4:], before[:, 4:], atol=0.02 + 50 * stretch, rtol=1e-3
    )


@pytest.mark.parametrize("suffix", [".csv", ".xf", ".aln", ".json", ".npz"])
def test_damaged_files_give_poses_or_a_clear_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"g{suffix}"
    write_alignment(path, alignment())
    good = path.read_bytes()
    rng = np.random.default_rng(len(suffix))
    refused = 0
    for _ in range(60):
        raw = bytearray(good)
        for place in rng.integers(0, len(raw), 3):
            raw[place] = rng.choice(list(b"0123456789-.e [,\nn\xff"))
        path.write_bytes(bytes(raw))
        try:
            found = read_alignment(path)
        except UserError:
            refused += 1
        else:
            assert np.isfinite(found.poses.as_array()).all()
    assert refused
