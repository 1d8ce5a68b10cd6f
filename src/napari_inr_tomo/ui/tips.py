"""Tooltips from the docstrings of the settings: one text for window and docs."""

from __future__ import annotations

from napari_inr_tomo.config import ReconstructionConfig


def tip(setting: str) -> str:
    """Return what a setting means, e.g. of ``"inr.schedule.epochs"``."""
    model, text = ReconstructionConfig, ""
    for name in setting.split("."):
        field = model.model_fields[name]
        model, text = field.annotation, field.description or ""
    return " ".join(text.replace("`", "").split())
