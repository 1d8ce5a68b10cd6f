"""What the window says there is to compute on."""

from __future__ import annotations

import pytest

from napari_inr_tomo.ui import device

CARDS = ["NVIDIA RTX A4000, 16376 MiB", "NVIDIA RTX A4000, 16376 MiB"]


def test_cards_that_this_torch_cannot_use_are_not_promised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device.metadata, "version", lambda name: "2.9.1")
    monkeypatch.setattr(device, "nvidia_smi", lambda *_: CARDS)
    monkeypatch.setattr(device, "torch_knows_cards", lambda: False)
    found = device.find_devices()
    assert not found.usable
    assert "built for processors only" in found.words
    monkeypatch.setattr(device, "torch_knows_cards", lambda: True)
    assert device.find_devices().words.startswith("2 GPUs: NVIDIA RTX A4000 (16376 ")


def test_a_driver_that_does_not_answer_is_no_card(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = ["NVIDIA-SMI has failed because it couldn't communicate with the driver."]
    monkeypatch.setattr(device, "nvidia_smi", lambda *_: said)
    assert device.find_devices().gpus == ()
