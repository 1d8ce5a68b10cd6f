"""An acquisition that is simulated: files that come one after the other, and badly."""

from __future__ import annotations

import os
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
from put_tilts import ANGLES, PATTERN, looked, put

from in_use import InUse
from napari_inr_tomo import atomic, io, metrics
from napari_inr_tomo.acquire import (
    Acquisition,
    AcquisitionFolder,
    Recipe,
    Settings,
    State,
    run,
    start_process,
)
from napari_inr_tomo.align import align_cross_correlation
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess import bin_images, exclude_views, mask_outliers
from napari_inr_tomo.simulate import Simulation, simulate_series
from napari_inr_tomo.types import Volume


def test_a_folder_is_known_by_any_case_of_its_name_where_the_system_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = AcquisitionFolder(tmp_path / "out")
    folder.path.mkdir()
    folder.write_state(State(watched=str(tmp_path / "Raw")))
    folder.check_for(tmp_path / "Raw")
    with pytest.raises(UserError, match="another acquisition"):
        folder.check_for(tmp_path / "raw")
    monkeypatch.setattr(os.path, "normcase", lambda name: str(name).lower())
    folder.check_for(tmp_path / "raw")


def test_what_a_window_reads_just_now_is_removed_later(
    tmp_path: Path, made: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = AcquisitionFolder(tmp_path)
    for refresh in (1, 2, 3):
        folder.write_series(refresh, made.series)
    monkeypatch.setattr(atomic, "BUSY_S", 0.02)
    with monkeypatch.context() as reading:
        reading.setattr(os, "unlink", InUse(os.unlink))
        folder.tidy(3)
    assert folder.images(1).exists()
    folder.tidy(3)
    assert sorted(tmp_path.iterdir()) == [folder.images(2), folder.images(3)]


def test_tilts_in_any_order_make_the_series_and_a_better_and_better_volume(
    raw: Path, tmp_path: Path, made: Simulation
) -> None:
    folder = AcquisitionFolder(tmp_path / "out")
    folder.path.mkdir()
    acquisition = Acquisition(Settings(raw, pattern=PATTERN), folder)
    order = np.argsort(np.abs(ANGLES), kind="stable")
    scores = []
    for count, tilt in enumerate(order, 1):
        put(raw, made.series, tilt)
        lines = looked(acquisition)
        assert lines[0].startswith(f"tilt {count}: {ANGLES[tilt]:g} degrees")
        state = folder.state()
        assert state is not None
        assert [t.angle_deg for t in state.tilts] == ANGLES[order[:count]].tolist()
        series = folder.series(state.refresh)
        assert series is not None
        assert np.all(np.diff(series.angles_deg) > 0)
        volume = folder.volume(state.refresh)
        assert (volume is not None) == (count > 1)
        if count in (3, 11):
            moved, _ = metrics.register(volume, made.truth)
            scores.append(metrics.psnr(moved, made.truth))
    assert scores[1] > scores[0] + 3
    whole = align_cross_correlation(made.series)
    np.testing.assert_array_equal(series.images, whole.images)
    np.testing.assert_allclose(
        series.start_poses.as_array(), whole.start_poses.as_array(), atol=0.1
    )
    assert len(list(folder.path.glob("*.npz"))) <= 4


def test_half_late_twice_and_broken(
    raw: Path, tmp_path: Path, made: Simulation
) -> None:
    folder = AcquisitionFolder(tmp_path / "out")
    folder.path.mkdir()
    acquisition = Acquisition(Settings(raw, pattern=PATTERN, quick="fbp"), folder)
    put(raw, made.series, 5)
    half = put(raw, made.series, 6)
    content = half.read_bytes()
    for length in (100, 1500, 3000):
        half.write_bytes(content[:length])
        acquisition.step()
    state = folder.state()
    assert state is not None
    assert [t.angle_deg for t in state.tilts] == [0.0]
    assert state.waiting == (half.name,)
    half.write_bytes(content)
    (raw / "t_+20.0.tif").write_bytes(b"II*\0 and then nothing of use")
    put(raw, made.series, 6, "again_+10.0.tif")
    lines = looked(acquisition)
    assert any("same angle" in line for line in lines)
    assert sum("t_+20.0.tif" in line for line in lines) == 1
    assert looked(acquisition) == []
    tifffile.imwrite(half, 2 * made.series.images[6], description="again")
    lines = looked(acquisition)
    assert len(lines) == 1
    assert "taken again" in lines[0] or "same angle" in lines[0]
    state = folder.state()
    assert state is not None
    assert len(state.tilts) == 3
    series = folder.series(state.refresh)
    assert series is not None
    assert series.angles_deg.tolist() == [0.0, 10.0, 10.0]
    brightest = sorted(image.max() for image in series.images[1:])
    assert brightest[1] == pytest.approx(2 * brightest[0])


def test_renamed_files_and_a_folder_that_goes_away(
    raw: Path, tmp_path: Path, made: Simulation
) -> None:
    folder = AcquisitionFolder(tmp_path / "out")
    folder.path.mkdir()
    acquisition = Acquisition(Settings(raw, pattern=PATTERN, quick=None), folder)
    wrong = put(raw, made.series, 5, "x_90.tif")
    put(raw, made.series, 4)
    assert len(looked(acquisition)) == 2
    wrong.rename(raw / "t_+0.0.tif")
    assert "was x_90.tif" in acquisition.step()[0]
    state = folder.state()
    assert state is not None
    assert sorted(t.angle_deg for t in state.tilts) == [-10.0, 0.0]
    away = raw.rename(tmp_path / "away")
    lines = acquisition.step()
    assert len(lines) == 1
    assert "cannot be looked at" in lines[0]
    assert looked(acquisition) == []
    put(away, made.series, 6)
    away.rename(raw)
    assert acquisition.step() == ["raw can be looked at again."]
    assert acquisition.step()[0].startswith("tilt 3")
    assert len(acquisition) == 3


def test_the_recipe_gives_what_it_gives_on_the_whole_stack(
    raw: Path, tmp_path: Path
) -> None:
    noisy = simulate_series(
        "chiral", (40, 44), ANGLES, dose=200, hot_pixels=0.002, seed=8
    ).series
    wanted = exclude_views(mask_outliers(bin_images(noisy, 2)), [2])
    settings = Settings(raw, pattern=PATTERN, recipe=Recipe.of(wanted), quick=None)
    folder = AcquisitionFolder(tmp_path / "out")
    for tilt in range(len(ANGLES)):
        put(raw, noisy, tilt)
    lines = list(run(settings, folder, lambda: False, 0.05, once=True))
    assert sum("excluded" in line for line in lines) == 1
    state = folder.state()
    assert state is not None
    assert state.ended
    assert not state.volume
    series = folder.series(state.refresh)
    assert series is not None
    np.testing.assert_array_equal(series.images, wanted.images)
    np.testing.assert_array_equal(series.mask, wanted.mask)
    written = io.read_series(folder.stack)
    assert len(written) == len(ANGLES) - 1
    assert "mask_outliers" in [step.name for step in written.history]


def test_a_stack_that_grows_and_goes_away_for_a_while(
    tmp_path: Path, made: Simulation
) -> None:
    path = tmp_path / "growing.mrc"
    folder = AcquisitionFolder(tmp_path / "out")
    folder.path.mkdir()
    acquisition = Acquisition(Settings(path, angles="-50:50:10", quick="fbp"), folder)
    assert looked(acquisition) == []
    for count in (3, 5):
        with mrcfile.new(path, overwrite=True) as file:
            file.set_data(made.series.images[:count])
            file.set_image_stack()
        looked(acquisition)
        assert len(acquisition) == count
        path.rename(tmp_path / "away.mrc")
        assert looked(acquisition) == []
        (tmp_path / "away.mrc").rename(path)
    series = acquisition.series
    assert series is not None
    np.testing.assert_array_equal(series.images, made.series.images[:5])
    np.testing.assert_array_equal(series.angles_deg, ANGLES[:5])


def test_it_ends_on_request_and_after_so_many_tilts(
    raw: Path, tmp_path: Path, made: Simulation
) -> None:
    folder = AcquisitionFolder(tmp_path / "out")
    settings = Settings(raw, pattern=PATTERN, quick=None)
    put(raw, made.series, 0)
    going = run(settings, folder, lambda: False, 0.05)
    assert next(going).startswith("tilt 1")
    assert folder.alive
    with pytest.raises(UserError, match="in use"):
        next(run(settings, folder, lambda: False, 0.05))
    folder.request_stop()
    assert list(going)[-1].startswith("Ended with 1 tilts")
    assert not folder.alive
    put(raw, made.series, 1)
    lines = list(run(settings, folder, lambda: False, 0.05, tilts=2))
    assert lines[-1].startswith("Ended with 2 tilts")


def test_tilts_without_an_angle_are_told_until_they_have_one(
    made: Simulation, raw: Path, tmp_path: Path
) -> None:
    folder = AcquisitionFolder(tmp_path / "out")
    acquisition = Acquisition(Settings(raw, quick=None), folder)
    with folder.prepared():
        pass
    for tilt in range(3):
        put(raw, made.series, tilt, f"img_{tilt + 1:03d}.tif")
    assert looked(acquisition) == []  # what tells the angles may come a little later
    (line,) = acquisition.step()
    assert line == (
        "3 files carry no angle, from img_001.tif on: give the angles (--angles), or "
        "where a name has them (--pattern)."
    )
    state = folder.state()
    assert state is not None
    assert (state.problems, len(state.waiting)) == ((line,), 3)
    assert acquisition.step() == []  # said once
    for tilt in range(3):
        (raw / f"img_{tilt + 1:03d}.tif.mdoc").write_text(
            f"[FrameSet = 0]\nTiltAngle = {tilt}\n"
        )
    assert len(acquisition.step()) == 3
    state = folder.state()
    assert state is not None
    assert (state.problems, state.waiting) == ((), ())


def test_one_look_ends_with_words_where_not_one_tilt_was_taken(
    made: Simulation, raw: Path, tmp_path: Path
) -> None:
    put(raw, made.series, 0, "img.tif")
    for words, why in (
        ({}, "1 file carries no angle, from img.tif on"),
        ({"pattern": r"_(\d+)"}, "1 file carries no angle, from img.tif on"),
    ):
        folder = AcquisitionFolder(tmp_path / f"out{len(words)}")
        settings = Settings(raw, quick=None, **words)
        with pytest.raises(UserError, match="No tilt was taken") as caught:
            list(run(settings, folder, lambda: False, 0.05, once=True))
        assert caught.value.why == why
        state = folder.state()
        assert state is not None
        assert state.ended
        assert why in state.problems[-1]


def test_no_more_tilts_are_taken_than_asked_for(
    made: Simulation, raw: Path, tmp_path: Path
) -> None:
    for tilt in range(9):
        put(raw, made.series, tilt)
    folder = AcquisitionFolder(tmp_path / "out")
    settings = Settings(raw, pattern=PATTERN, quick=None)
    lines = list(run(settings, folder, lambda: False, 0.05, tilts=5, once=True))
    numbers = [line.split(":")[0] for line in lines if line.startswith("tilt ")]
    assert numbers == [f"tilt {place}" for place in range(1, 6)]
    assert lines[-1].startswith("Ended with 5 tilts. 4 more are there")
    assert str(folder.stack) in lines[-1]
    assert len(io.read_series(folder.stack)) == 5


def test_the_results_do_not_go_where_the_tilts_come_from(
    made: Simulation, raw: Path, tmp_path: Path
) -> None:
    for watched, out in ((raw, raw), (tmp_path / "o" / "series.mrc", tmp_path / "o")):
        with pytest.raises(UserError, match="that is what is watched"):
            next(run(Settings(watched), AcquisitionFolder(out), lambda: False))
    assert list(raw.iterdir()) == []


@pytest.mark.parametrize("inner", ["", "deeper"])
def test_a_file_in_the_place_of_the_folder_is_said(
    raw: Path, tmp_path: Path, inner: str
) -> None:
    file = tmp_path / "out"
    file.write_text("kept")
    folder = AcquisitionFolder(file / inner)
    with pytest.raises(UserError, match="file of that name"):
        next(run(Settings(raw, quick=None), folder, lambda: False, 0.05))
    with pytest.raises(UserError, match="file of that name"):
        start_process(folder, [str(raw)])
    assert file.read_text() == "kept"


def test_nothing_readable_is_none_and_not_an_error(tmp_path: Path) -> None:
    folder = AcquisitionFolder(tmp_path)
    assert folder.state() is None
    for text in ("", "{}", "[1]", '{"schema": 99}'):
        folder.state_file.write_text(text)
        assert folder.state() is None
    folder.images(3).write_bytes(b"PK nothing")
    assert folder.series(3) is None
    assert folder.volume(3) is None
    folder.write_volume(4, Volume(np.ones((2, 3, 4), np.float32)))
    volume = folder.volume(4)
    assert volume is not None
    assert volume.voxel_nm is None


@pytest.mark.parametrize("name", ["series.mrc", "series.tlt"])
def test_a_stack_in_the_folder_of_results_is_kept(
    raw: Path, tmp_path: Path, made: Simulation, name: str
) -> None:
    for tilt in range(3):
        put(raw, made.series, tilt)
    folder = AcquisitionFolder(tmp_path / "out")
    folder.path.mkdir()
    (folder.path / name).write_text("kept")
    settings = Settings(raw, pattern=PATTERN, quick=None)
    with pytest.raises(UserError, match=f"{name} in it would be replaced"):
        list(run(settings, folder, lambda: False, 0.01, once=True))
    assert [path.name for path in folder.path.iterdir()] == [name]
    (folder.path / name).unlink()
    for _ in range(2):  # its own series may be written anew
        list(run(settings, folder, lambda: False, 0.01, once=True))
    assert len(io.read_series(folder.stack)) == 3


def test_the_stack_that_grows_is_not_the_series_in_the_folder(
    tmp_path: Path, made: Simulation
) -> None:
    folder = AcquisitionFolder(tmp_path)
    io.write_series(folder.stack, made.series)
    before = folder.stack.read_bytes()
    with pytest.raises(UserError, match="that is what is watched"):
        list(run(Settings(folder.stack), folder, lambda: False, 0.01, once=True))
    assert folder.stack.read_bytes() == before
