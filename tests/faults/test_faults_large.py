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


def large_stack(path: Path, views: int, side: int) -> None:
    """A float32 MRC stack, written image by image."""
    import mrcfile

    with mrcfile.new_mmap(path, (views, side, side), mrc_mode=2) as file:
        file.set_image_stack()
        file.voxel_size = 10.0
    row = np.arange(side, dtype="<f4")
    with open(path, "r+b") as handle:
        handle.seek(1024)
        for view in range(views):
            handle.write((row[None] % 97 + (row[:, None] + view) % 89).tobytes())


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
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stderr.split()[-1]) / 1000


@pytest.mark.faults
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the peak of memory")
@pytest.mark.scenario(26)
@pytest.mark.parametrize("factor", [2, 4])
def test_a_large_stack_is_binned_in_a_stream(
    tmp_path: Path, factor: int, figure: Figure
) -> None:
    stack, small = tmp_path / "large.mrc", tmp_path / "small.mrc"
    large_stack(stack, 141, 2048)
    try:
        words = ["--angles=-70:70:1", "--bin", str(factor), "-o", str(small)]
        peak = peak_of("preprocess", str(stack), *words)
        back = io.read_images(small).images
        assert back.shape == (141, 2048 // factor, 2048 // factor)
        row = np.arange(2048, dtype=np.float64)
        image = row[None] % 97 + (row[:, None] + 140) % 89
        side = 2048 // factor
        expected = image.reshape(side, factor, side, factor).mean(axis=(1, 3))
        np.testing.assert_allclose(back[140], expected, rtol=1e-5)
        assert peak < 1000
        figure(f"2048 x 2048 x 141 binned by {factor}: peak {peak:.0f} MB")
    finally:
        stack.unlink()
        small.unlink(missing_ok=True)


@pytest.mark.scenario(26)
def test_binned_in_parts_is_binned_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_inr_tomo.cli import streaming
    from napari_inr_tomo.preprocess import bin_images, fourier_downsample
    from napari_inr_tomo.types import Poses

    rng = np.random.default_rng(26)
    series = RunFolder(make_run(tmp_path / "run").folder).series()
    series = series.evolve(
        poses=Poses.from_array(rng.normal(size=(7, 4))),
        used=np.arange(7) != 4,
        valid=rng.random(series.images.shape) > 0.1,
    )
    for step in (lambda s: bin_images(s, 2), lambda s: fourier_downsample(s, 9)):
        whole = step(series)
        monkeypatch.setattr(streaming, "AT_ONCE", 2 * series.images[0].nbytes)
        parts = streaming.view_by_view(series, step)
        assert np.array_equal(parts.images, whole.images)
        assert np.array_equal(parts.valid, whole.valid)
        assert np.array_equal(parts.mask, whole.mask)
        assert np.array_equal(
            parts.start_poses.as_array(), whole.start_poses.as_array()
        )
        assert parts.history == whole.history
        assert parts.notices == whole.notices
        assert parts.pixel_size_nm == whole.pixel_size_nm


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
