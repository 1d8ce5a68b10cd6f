"""Very large stacks, offsets, and tilts in any order."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

if os.name == "nt":
    pytest.skip("limits and fork are POSIX", allow_module_level=True)

from fault_runs import finish, make_run

from napari_inr_tomo import io
from napari_inr_tomo.engine.sampling import PixelSampler
from napari_inr_tomo.io.stack import ImageStack, clean_pixels
from napari_inr_tomo.mapped import MappedImages
from napari_inr_tomo.preprocess import bin_images, exclude_views, fourier_downsample
from napari_inr_tomo.runs import RunFolder, create_run

Figure = Callable[[str], None]
ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
SCHEMAS = sorted(GOLDEN.glob("schema-*"))
Usage = namedtuple("Usage", "total used free")


@pytest.mark.scenario(26)
def test_drawing_pixels_of_a_large_stack_keeps_no_lists(figure: Figure) -> None:
    import tracemalloc

    count = 2048 * 2048 * 141
    sampler = PixelSampler(count, 16_384, seed=1, holdout=0.2)
    sampler.step(0, 0)
    tracemalloc.start()
    for step in (0, 17, sampler.steps - 1):
        pixels = sampler.step(3, step)
        assert 0 <= int(pixels.min())
        assert int(pixels.max()) < count
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1_000_000
    figure(f"sampler of {count} pixels: {most / 1e3:.0f} kB besides the batch")


def large_stack(path: Path, views: int, side: int, mode: int = 2) -> None:
    """An MRC stack of this mode, written image by image."""
    import mrcfile

    with mrcfile.new_mmap(path, (views, side, side), mrc_mode=mode) as file:
        file.set_image_stack()
        file.voxel_size = 10.0
        file.header.dmin, file.header.dmax = 0, 184  # bytes beyond 127: unsigned
        dtype = file.data.dtype
    row = np.arange(side)
    with open(path, "r+b") as handle:
        handle.seek(1024)
        for view in range(views):
            image = row[None] % 97 + (row[:, None] + view) % 89
            handle.write(image.astype(dtype).tobytes())


def peak_of(*words: str) -> float:
    """Run a command of inr-tomo; return its peak resident memory in MB."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from napari_inr_tomo.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(status.split('VmHWM:')[1].split()[0], file=sys.stderr)\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stderr.split()[-1]) / 1000


def preview(stack: Path, folder: Path) -> tuple[int, ...]:
    """Bin by 16, reconstruct for a first look; return the shape."""
    small, volume = str(folder / "first.mrc"), folder / "look.mrc"
    peak_of("preprocess", str(stack), "--angles=-70:70:1", "--bin=16", "-o", small)
    words = ["--angles=-70:70:1", "--method", "fbp"]
    peak_of("reconstruct", small, *words, "-o", str(volume))
    return io.read_volume(volume).data.shape


MODES = {"float32": 2, "int16": 1, "uint16": 6, "float16": 12, "uint8": 0}


@pytest.mark.faults
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the peak of memory")
@pytest.mark.scenario(26)
@pytest.mark.parametrize("kind", MODES)
def test_a_large_stack_is_binned_in_a_stream(
    tmp_path: Path, kind: str, figure: Figure
) -> None:
    """And a preview of it is made from a coarser copy, without a setting."""
    stack, small, factor = tmp_path / "large.mrc", tmp_path / "small.mrc", 4
    large_stack(stack, 141, 2048, MODES[kind])
    try:
        words = ["--angles=-70:70:1", "--bin", str(factor), "-o", str(small)]
        looked = peak_of("info", str(stack), "--angles=-70:70:1")
        peak = peak_of("preprocess", str(stack), *words)
        back = io.read_images(small).images
        assert back.shape == (141, 2048 // factor, 2048 // factor)
        row = np.arange(2048, dtype=np.float64)
        image = row[None] % 97 + (row[:, None] + 140) % 89
        side = 2048 // factor
        expected = image.reshape(side, factor, side, factor).mean(axis=(1, 3))
        np.testing.assert_allclose(back[140], expected, rtol=1e-5)
        assert looked < 1000
        assert peak < 1000
        figure(
            f"2048 x 2048 x 141 {kind}: peak {looked:.0f} MB looked at, {peak:.0f} MB "
            f"binned by {factor}"
        )
        if kind == "float32":
            shown = preview(stack, tmp_path)
            figure(f"previewed as a volume of {' x '.join(map(str, shown))} voxels")
    finally:
        stack.unlink()
        small.unlink(missing_ok=True)


CREATE = """
import sys
from pathlib import Path
from napari_inr_tomo import io, runs
from napari_inr_tomo.config import ReconstructionConfig
io.mrc._KEEP_MAPPED = 1 << 20
series = io.read_series(sys.argv[1], "-60:60:1")
if sys.argv[3:]:
    from napari_inr_tomo.ui.series_layer import series_layer_data
    series_layer_data(series)
config = ReconstructionConfig.from_preset("preview", method="fbp", depth_px=8)
baseline = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]
runs.create_run(Path(sys.argv[2]), series, config)
peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
print(baseline, peak)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the peak of memory")
@pytest.mark.scenario(26)
@pytest.mark.parametrize("kind", ["int16", "uint8"])
def test_opening_showing_and_a_run_folder_keep_integers_on_the_disk(
    tmp_path: Path, kind: str, figure: Figure
) -> None:
    """A stack of 252 MB as float32; the peak is less than a third of that above."""
    stack = tmp_path / "stack.mrc"
    large_stack(stack, 121, 720, MODES[kind])
    empty = tmp_path / "few.mrc"
    large_stack(empty, 121, 8, MODES[kind])
    peaks = []
    for path in (empty, stack):
        command = [sys.executable, "-c", CREATE, str(path), str(tmp_path / path.stem)]
        done = subprocess.run(
            [*command, "shown"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout.split()[1]) / 1000)
    series = RunFolder(tmp_path / "stack").series()
    row = np.arange(720)
    assert (series.images[5] == row[None] % 97 + (row[:, None] + 5) % 89).all()
    more = peaks[1] - peaks[0]
    assert more < 84
    figure(f"{kind}, 252 MB as float32: opened, shown and written with {more:.0f} MB")


@pytest.mark.scenario(26)
@pytest.mark.parametrize("kind", ["<i2", ">u2", "u1", "<f2", ">f4"])
def test_a_mapped_stack_is_the_stack_in_memory(tmp_path: Path, kind: str) -> None:
    """Pixels, validity, notices and binning; with NaN where there may be."""
    rng = np.random.default_rng(26)
    stored = (100 * rng.random((7, 13, 17))).astype(kind)
    if "f" in kind:
        stored[2, 3, 4] = np.nan
        stored[5] = np.inf
    path = tmp_path / "stored"
    stored.tofile(path)
    mapped = np.memmap(path, stored.dtype, "r", shape=stored.shape)
    angles = np.linspace(-60, 60, 7)
    series = []
    for images in (stored, mapped):
        stack = clean_pixels(ImageStack(images, angles_deg=angles, pixel_size_nm=1.0))
        series.append(exclude_views(stack.with_angles(), [1]))
    memory, disk = series
    assert isinstance(disk.images, MappedImages)
    assert np.array_equal(disk.mask, memory.mask)
    assert disk.notices == memory.notices
    for step in (
        lambda s: s,
        lambda s: s.only_used(),
        lambda s: bin_images(s, 3),
        lambda s: fourier_downsample(s, 9),
        lambda s: s.evolve(images=s.images[2:5, 1:, ::2] + 1, **THREE),
        lambda s: s.evolve(images=s.images * 2 - s.images.mean(axis=0)),
    ):
        expected, found = step(memory), step(disk)
        assert np.array_equal(np.asarray(found.images), expected.images)
        if expected.valid is not None:
            assert np.array_equal(found.valid, expected.valid)
    for image, other in zip(disk.images, memory.images, strict=True):
        assert image.dtype == np.float32
        assert np.array_equal(image, other)


THREE = {"angles_deg": np.arange(3.0), "poses": None, "used": None, "valid": None}


@pytest.mark.scenario(17)
def test_an_offset_goes_with_the_background(tmp_path: Path, figure: Figure) -> None:
    from napari_inr_tomo.preprocess import subtract_background

    series = RunFolder(make_run(tmp_path / "run").folder).series()
    lower = series.evolve(images=series.images - np.float32(3))
    assert (lower.images < 0).any()
    plain, shifted = (subtract_background(s).images for s in (series, lower))
    apart = float(np.abs(plain - shifted).max() / np.abs(plain).max())
    assert apart < 1e-3
    figure(f"offset of -3 and background step: {apart:.1e} apart")


@pytest.mark.scenario(19)
def test_the_order_of_the_tilts_does_not_matter(tmp_path: Path, figure: Figure) -> None:
    series = RunFolder(make_run(tmp_path / "run").folder).series()
    config = RunFolder(tmp_path / "run").config.merged({"method": "sirt"})
    order = np.random.default_rng(19).permutation(len(series))
    mixed = series.evolve(
        images=series.images[order],
        angles_deg=series.angles_deg[order],
        poses=series.start_poses.take(order),
    )
    volumes = []
    for name, one in (("sorted", series), ("mixed", mixed)):
        paths = create_run(tmp_path / name, one, config).paths
        finish(paths)
        volumes.append(io.read_volume(paths.result_volume).data)
    apart = float(np.abs(volumes[0] - volumes[1]).max() / np.abs(volumes[0]).max())
    assert apart < 1e-5
    figure(f"SIRT of shuffled tilts: {apart:.1e} apart")
