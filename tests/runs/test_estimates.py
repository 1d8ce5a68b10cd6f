"""What a run needs grows as it should, and a full disk is told in numbers."""

from __future__ import annotations

import pytest

from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.runs import estimate
from napari_inr_tomo.runs.estimates import in_words

SHAPE = (61, 48, 96)


def test_the_box_is_as_deep_as_the_image_across_the_axis() -> None:
    config = ReconstructionConfig(method="sirt")
    assert estimate(config, SHAPE).shape_zyx == (48, 48, 96)
    assert estimate(config, SHAPE, axis_deg=-90).shape_zyx == (96, 48, 96)
    deep = config.merged({"depth_px": 20})
    assert estimate(deep, SHAPE, axis_deg=90).shape_zyx == (20, 48, 96)


def test_the_sizes_of_files_are_exact() -> None:
    need = estimate(ReconstructionConfig(method="sirt"), SHAPE)
    assert need.input_bytes == 61 * 48 * 96 * 4
    assert need.volume_bytes == 48 * 48 * 96 * 4
    assert need.disk_bytes == need.input_bytes + 5 * need.volume_bytes


def test_the_papers_network_has_a_million_weights() -> None:
    config = ReconstructionConfig.from_preset("paper")
    weights = estimate(config, SHAPE).checkpoint_bytes / 16
    assert weights == pytest.approx(1_053_185, rel=0.01)


def test_more_processes_need_less_each() -> None:
    config = ReconstructionConfig.from_preset(
        "fast", inr={"schedule": {"batch_rays": 65536}}
    )
    one, four = (estimate(config, SHAPE, processes=n) for n in (1, 4))
    assert four.memory_bytes < 0.35 * one.memory_bytes
    paper = ReconstructionConfig.from_preset("paper")
    one, four = (estimate(paper, SHAPE, processes=n) for n in (1, 4))
    assert one.memory_bytes == four.memory_bytes  # the batch grows with the processes


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2.37e9, "2.4 GB")],
)
def test_bytes_in_words(count: float, words: str) -> None:
    assert in_words(count) == words
