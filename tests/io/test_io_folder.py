"""A folder of images as a tilt series."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
from io_samples import ANGLES, pixels, tlt
from skimage.io import imsave

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io import read_series
from napari_inr_tomo.io.folder import image_names

DATA = pixels("uint16")


def images(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for name, image in zip(names, DATA, strict=True):
        if name.endswith(".png"):
            imsave(folder / name, image, check_contrast=False)
        else:
            tifffile.imwrite(folder / name, image)
    return folder


@pytest.mark.parametrize("suffix", [".tif", ".TIFF", ".png"])
def test_sorted_by_the_angles_in_the_names(tmp_path: Path, suffix: str) -> None:
    order = [0, 3, -3, 6, -6, 9, -9]
    names = [f"needle_{i:03d}_{a:.1f}{suffix}" for i, a in enumerate(order)]
    series = read_series(images(tmp_path / "run1", names))
    assert series.angles_deg.tolist() == [-9, -6, -3, 0, 3, 6, 9]
    np.testing.assert_array_equal(series.images, DATA[np.argsort(order)])
    assert series.angle_source == "file names"
    assert series.name == "run1"


@pytest.mark.parametrize("place", ["beside", "inside"])
def test_natural_order_and_a_side_car(tmp_path: Path, place: str) -> None:
    folder = images(tmp_path / "run2", [f"view{i}.tif" for i in range(7, 14)])
    where = tmp_path / "run2.tlt" if place == "beside" else folder / "angles.txt"
    tlt(where)
    series = read_series(folder)
    np.testing.assert_array_equal(series.images, DATA)
    np.testing.assert_array_equal(series.angles_deg, ANGLES)
    assert series.angle_source == f"side-car {where.name}"


def test_running_numbers_are_not_angles(tmp_path: Path) -> None:
    folder = images(tmp_path / "run3", [f"view_{i:02d}.tif" for i in range(7)])
    with pytest.raises(UserError, match="unknown"):
        read_series(folder)
    assert len(read_series(folder, "-45:45:15")) == 7


def test_given_angles_against_those_in_the_names_are_said(tmp_path: Path) -> None:
    """Natural order is not that of the angles: tilt_0 comes before tilt_-45."""
    names = [f"tilt_{a}_{i:03d}.tif" for i, a in enumerate(range(-45, 46, 15))]
    folder = images(tmp_path / "run5", names)
    said = "The file names say other tilt angles"
    series = read_series(folder, "-45:45:15")
    assert f"{said} than those given: tilt_0_003.tif has -45" in " ".join(
        series.notices
    )
    right = read_series(folder, r"names:tilt_(-?\d+)_")
    assert said not in " ".join(right.notices)
    same = read_series(folder, right.angles_deg + 0.1)
    assert said not in " ".join(same.notices)


def test_given_angles_against_plain_names_are_said(tmp_path: Path) -> None:
    names = [f"t_{a}deg.tif" for a in range(-45, 46, 15)]
    folder = images(tmp_path / "run6", names)
    said = "The file names say other tilt angles"
    assert said in " ".join(read_series(folder, "-45:45:15+negated").notices)
    assert said not in " ".join(read_series(folder, "-45:45:15").notices)
    running = images(tmp_path / "run7", [f"v_{i}.tif" for i in range(7)])
    assert said not in " ".join(read_series(running, "6:0:-1").notices)


def test_no_view_is_lost_or_mixed(tmp_path: Path) -> None:
    folder = images(tmp_path / "run4", [f"v_{a}.tif" for a in range(-3, 4)])
    tifffile.imwrite(folder / "v_9.tif", DATA[0, :-1])
    with pytest.raises(UserError, match="differ in size"):
        read_series(folder)
    (folder / "v_9.tif").write_bytes((folder / "v_1.tif").read_bytes()[:-20])
    with pytest.raises(UserError, match="damaged"):
        read_series(folder)
    tifffile.imwrite(folder / "v_9.tif", DATA)
    with pytest.raises(UserError, match="more than one image"):
        read_series(folder)
    (folder / "v_9.tif").unlink()
    imsave(folder / "v_9.png", DATA[0], check_contrast=False)
    with pytest.raises(UserError, match="several kinds"):
        read_series(folder)


def test_one_mrc_file_a_tilt_with_an_mdoc_beside_each(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    for number, (angle, image) in enumerate(zip(ANGLES[::-1], DATA, strict=True)):
        with mrcfile.new(folder / f"pos_{number:03d}.mrc") as file:
            file.set_data(image)
        (folder / f"pos_{number:03d}.mrc.mdoc").write_text(
            f"[FrameSet = 0]\nTiltAngle = {angle}\n"
        )
    series = read_series(folder)
    np.testing.assert_array_equal(series.angles_deg, ANGLES)
    np.testing.assert_array_equal(series.images, DATA[::-1])
    tifffile.imwrite(folder / "other.tif", DATA[0])  # pictures go first, as before
    with pytest.raises(UserError, match="a single image file"):
        read_series(folder)


def test_folders_without_a_series(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no images"):
        read_series(tmp_path)
    tifffile.imwrite(tmp_path / "only.tif", DATA[0])
    with pytest.raises(UserError, match="single image file"):
        read_series(tmp_path)
    colours = np.zeros((2, 5, 6, 3), np.uint8)
    (tmp_path / "only.tif").unlink()
    for i, image in enumerate(colours):
        imsave(tmp_path / f"c_{i}.png", image, check_contrast=False)
    with pytest.raises(UserError, match="colour"):
        read_series(tmp_path)


def test_the_list_of_a_tia_series_goes_before_its_single_files(tmp_path):
    """Every .emi names its .ser files; without one they are the images themselves."""
    for name in ("t_1_1.ser", "t_2_1.ser"):
        (tmp_path / name).touch()
    assert sorted(image_names(tmp_path)) == ["t_1_1.ser", "t_2_1.ser"]
    for name in ("t_1.emi", "t_2.emi"):
        (tmp_path / name).touch()
    assert sorted(image_names(tmp_path)) == ["t_1.emi", "t_2.emi"]
    (tmp_path / "other.tif").touch()
    with pytest.raises(UserError, match="several kinds"):
        image_names(tmp_path)
