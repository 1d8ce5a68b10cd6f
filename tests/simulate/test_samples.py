"""Samples, and the download of the needle without a network."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pooch
import pytest
from requests.exceptions import ConnectionError as NoConnection

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.simulate import SAMPLES, fetch_needle, sample, sample_simulation
from napari_inr_tomo.simulate.samples import NEEDLE_ADDRESSES, NEEDLE_FILE


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_small_misaligned_series(name: str) -> None:
    made = sample_simulation(name)
    assert made.series.images.shape == (61, 64, 64)
    assert not made.series.start_poses.as_array().any()
    assert np.std(made.truth_poses.dy_px) > 0.5
    assert abs(made.truth_poses.axis_deg) >= 3


def test_sample_is_the_same_every_time() -> None:
    assert np.array_equal(sample("chiral").images, sample("chiral").images)


def test_unknown_sample() -> None:
    with pytest.raises(UserError, match="sea-mine"):
        sample("gold")


class Net:
    """Stands in for the network: answers some addresses with some bytes."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        self.asked.append(url)
        if url not in self.answers:
            raise NoConnection("name resolution failed")
        Path(output_file).write_bytes(self.answers[url])


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Net:
    made = Net({})
    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **_: made)
    return made


def test_offline_says_what_to_do(net: Net, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        fetch_needle(tmp_path)
    assert "name resolution failed" in caught.value.why
    assert str(tmp_path / NEEDLE_FILE) in caught.value.do
    assert net.asked == list(NEEDLE_ADDRESSES)


def test_wrong_content_is_never_kept(net: Net, tmp_path: Path) -> None:
    net.answers = dict.fromkeys(NEEDLE_ADDRESSES, b"<html>not found</html>")
    with pytest.raises(UserError):
        fetch_needle(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_right_content_is_cached(net: Net, tmp_path: Path, shared_data: Path) -> None:
    original = shared_data / "needle" / "HAADF_needle_91x64x64_pm90.dm3"
    net.answers = {NEEDLE_ADDRESSES[1]: original.read_bytes()}
    path = fetch_needle(tmp_path)
    assert path.read_bytes() == original.read_bytes()
    net.answers = {}
    net.asked.clear()
    assert fetch_needle(tmp_path) == path
    assert net.asked == []


def test_file_saved_by_hand_is_taken(
    net: Net, tmp_path: Path, shared_data: Path
) -> None:
    original = shared_data / "needle" / "HAADF_needle_91x64x64_pm90.dm3"
    shutil.copy(original, tmp_path / NEEDLE_FILE)
    assert fetch_needle(tmp_path) == tmp_path / NEEDLE_FILE
    assert net.asked == []
