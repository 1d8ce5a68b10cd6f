"""The background on another device: the same numbers, and what is said if it fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess import background_device, subtract_background
from napari_inr_tomo.preprocess import background_fit as fit
from napari_inr_tomo.preprocess import background_series as of_series
from napari_inr_tomo.preprocess.arrays import to_numpy
from napari_inr_tomo.preprocess.background_settings import BackgroundSettings
from napari_inr_tomo.replay import again
from napari_inr_tomo.types import TiltSeries

TENSORS = "cpu:0"
"""A device of torch that is there everywhere."""
SETTINGS: list[dict[str, Any]] = [
    {},
    {"degree_yx": (6, 6)},
    {"degree_yx": (1, 2), "dilation_px": 11},
    {"reweight": True},
    {"reweight": True, "automatic": False},
    {"specimen": "otsu"},
    {"specimen": "threshold", "level": 60.0},
    {"edge_px": 4, "edge_weight": 3.0},
    {"edge_px": 5, "reweight": True, "specimen": "otsu"},
    {"kind": "constant"},
    {"kind": "box-mean"},
    {"drawn": True},
]


def frames(shape: tuple[int, int] = (97, 120)) -> np.ndarray:
    """Particles, counts, no noise, half covered, filled, flat, bad pixels, a slab."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    object_ = np.zeros(shape)
    for _ in range(8):
        cy, cx, r = (
            rng.uniform(0, shape[0]),
            rng.uniform(0, shape[1]),
            rng.uniform(4, 14),
        )
        object_ += 50 * np.sqrt(
            np.clip(1 - (np.hypot(y - cy, x - cx) / r) ** 2, 0, None)
        )
    background = 40 + 0.2 * y - 0.001 * x * y + 30 * (x / shape[1] - 0.5) ** 2
    grains = rng.normal(0, 2, shape)
    half = background + grains
    half[2 * shape[0] // 5 :] += 100
    texture = ndimage.gaussian_filter(rng.normal(size=shape), 4)
    bad = background + object_ + grains
    bad[rng.random(shape) < 0.05] = np.nan
    cramped = background + grains + 200 * (x > 9)
    return np.stack(
        [
            background + object_ + grains,
            rng.poisson((background + object_) / 8).astype(float),
            background + object_,
            half,
            100 + 20 * texture / texture.std() + grains,
            np.full(shape, 7.3),
            bad,
            cramped,
        ]
    )


def fits(
    images: np.ndarray,
    settings: dict[str, Any],
    device: str,
    tilts: slice = slice(None),
) -> fit.Fits:
    settings = dict(settings)
    degree, drawn = settings.pop("degree_yx", (3, 3)), settings.pop("drawn", False)
    masks = np.zeros(images.shape, bool)
    masks[:, 30:50, 5:30] = drawn
    values, blocked = fit.finite(images[tilts], masks[tilts])
    wanted = BackgroundSettings(**settings)
    return fit.fitted(values, blocked, degree, wanted, drawn, device)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("shape", [(97, 120), (290, 61)])
def test_tensors_give_what_arrays_give(
    shape: tuple[int, int], settings: dict[str, Any]
) -> None:
    """The same masks, degrees and notices; surfaces to rounding."""
    images = frames(shape)
    arrays, tensors = (fits(images, settings, device) for device in ("cpu", TENSORS))
    np.testing.assert_array_equal(to_numpy(tensors.specimen), arrays.specimen)
    assert tensors.degrees == arrays.degrees
    assert tensors.notices == arrays.notices
    found = to_numpy(tensors.background)
    rounding = 1e-7 * np.nanmax(np.abs(images))  # of float32, which the result is
    np.testing.assert_allclose(found, arrays.background, rtol=0, atol=rounding)


def test_the_frames_take_every_way_there_is() -> None:
    """Else the test above would compare less than it says."""
    found, high = (fits(frames(), {"degree_yx": (n, n)}, "cpu") for n in (3, 6))
    assert len({*found.notices, *high.notices}) == 4
    assert {(0, 0), (2, 2), (3, 3)} == set(found.degrees)
    assert {(5, 5), (6, 6)} == set(high.degrees)
    assert 0 < found.specimen.mean() < 1
    assert not found.specimen[5].any()  # rounding is no specimen


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_batch_does_not_matter(settings: dict[str, Any]) -> None:
    images = frames()
    whole = fits(images, settings, "cpu")
    for tilts in (slice(0, 3), slice(3, 4), slice(4, 8)):
        part = fits(images, settings, "cpu", tilts)
        np.testing.assert_array_equal(part.background, whole.background[tilts])
        np.testing.assert_array_equal(part.specimen, whole.specimen[tilts])
        assert part.notices == whole.notices[tilts]


def series() -> TiltSeries:
    images = np.nan_to_num(frames(), nan=40.0).astype(np.float32)
    return TiltSeries(images, np.linspace(-60, 60, len(images)))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("pixels", [1, 30_000, 1_000_000])
def test_threads_and_sizes_of_batches_do_not_matter(
    monkeypatch: pytest.MonkeyPatch, pixels: int, threads: int
) -> None:
    wanted = subtract_background(series(), device="cpu")
    monkeypatch.setattr(background_device, "IN_CACHE_PX", pixels)
    monkeypatch.setattr(background_device, "cores", lambda: threads)
    found = subtract_background(series(), device="cpu")
    np.testing.assert_array_equal(found.images, wanted.images)
    assert found.history == wanted.history


def with_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tensors in main memory stand for those of a card."""
    monkeypatch.setattr(background_device, "card_works", lambda: True)
    real = fit.on_device
    monkeypatch.setattr(
        fit,
        "on_device",
        lambda values, device: real(values, TENSORS if device == "cuda" else device),
    )


def test_a_card_is_used_in_batches_and_the_history_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = subtract_background(series(), device="cpu")
    with_a_card(monkeypatch)
    monkeypatch.setattr(background_device, "ON_CARD_PX", 3 * 97 * 120)
    sizes = []
    real = of_series.fitted
    monkeypatch.setattr(
        of_series,
        "fitted",
        lambda values, *rest: (sizes.append(len(values)), real(values, *rest))[1],
    )
    found = subtract_background(series(), device="cuda")
    assert sizes == [3, 3, 2]
    np.testing.assert_allclose(found.images, wanted.images, atol=1e-4)
    assert found.notices == wanted.notices
    assert wanted.history[-1].parameters["device"] == "cpu"
    assert found.history[-1].parameters["device"] == "cuda"
    same = again(series(), found.history[-1])
    np.testing.assert_array_equal(same.images, found.images)
    assert same.history == found.history


@pytest.mark.parametrize("error", ["CUDA out of memory. Tried 2 GiB", "launch failed"])
def test_a_card_that_fails_in_the_middle_costs_nothing(
    monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    wanted = subtract_background(series(), device="cpu")
    with_a_card(monkeypatch)
    monkeypatch.setattr(background_device, "ON_CARD_PX", 3 * 97 * 120)
    calls = []
    real = of_series.fitted

    def failing(*given: Any) -> fit.Fits:
        calls.append(given[-1])
        if given[-1] == "cuda" and calls.count("cuda") == 2:
            raise RuntimeError(error)
        return real(*given)

    monkeypatch.setattr(of_series, "fitted", failing)
    found = subtract_background(series(), device="cuda")
    assert calls.count("cuda") == 2
    np.testing.assert_array_equal(found.images, wanted.images)
    assert found.history == wanted.history
    (notice,) = set(found.notices) - set(wanted.notices)
    assert error.partition(".")[0] in notice


def test_without_a_card_the_processor_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_device, "card_works", lambda: False)
    wanted = subtract_background(series(), device="cpu")
    found = subtract_background(series(), device="cuda")
    np.testing.assert_array_equal(found.images, wanted.images)
    assert found.history == wanted.history
    (notice,) = set(found.notices) - set(wanted.notices)
    assert "no graphics card" in notice
    silent = subtract_background(series(), device="auto")
    assert silent.notices == wanted.notices


def test_an_error_of_the_processor_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(*_: Any) -> fit.Fits:
        raise RuntimeError("no card had a part in this")

    monkeypatch.setattr(of_series, "fitted", failing)
    with pytest.raises(RuntimeError, match="no card"):
        subtract_background(series(), device="cpu")


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(UserError, match="cpu, cuda"):
        subtract_background(series(), device="tpu")


def test_a_card_must_be_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_device, "cores", lambda: 2)
    monkeypatch.setattr(background_device, "card_works", lambda: True)
    monkeypatch.setattr(background_device, "visible_gpus", lambda: 1)
    chosen = background_device.device_for
    plain, heavy = BackgroundSettings(), BackgroundSettings(reweight=True)
    assert chosen("auto", 61 * 64**2, plain) == ("cpu", "")
    assert chosen("auto", 71 * 2048**2, plain) == ("cuda", "")
    assert chosen("cpu", 71 * 2048**2, plain) == ("cpu", "")
    assert chosen("auto", 10**9, BackgroundSettings(kind="box-mean")) == ("cpu", "")
    between = next(
        n for n in range(10**9) if chosen("auto", n * 10**6, plain)[0] != "cpu"
    )
    assert chosen("auto", between * 10**6 - 10**6, heavy)[0] == "cuda"
    monkeypatch.setattr(background_device, "cores", lambda: 10_000)
    assert chosen("auto", 71 * 2048**2, heavy) == ("cpu", "")
    monkeypatch.setattr(background_device, "cores", lambda: 2)
    monkeypatch.setattr(background_device, "visible_gpus", lambda: 0)
    assert chosen("auto", 10**12, heavy) == ("cpu", "")


def test_a_background_without_a_card_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from napari_inr_tomo.preprocess import background_device\n"
        "from napari_inr_tomo.preprocess import subtract_background\n"
        "from napari_inr_tomo.types import TiltSeries\n"
        "background_device.WORTH_A_CARD_S = 0\n"
        "images = np.random.default_rng(0).normal(9, 1, (3, 40, 50))\n"
        "subtract_background(TiltSeries(images, [0, 1, 2]))\n"
        "print('torch' in sys.modules)\n"
    )
    environment = {"PATH": str(tmp_path)}  # no nvidia-smi
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert done.stdout.split() == ["False"]
