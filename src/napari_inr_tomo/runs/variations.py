"""The same settings several times, with one of them varied."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError

MOST = 100


@dataclass(frozen=True)
class Variation:
    """One set of settings; key and value are what is special in it."""

    config: ReconstructionConfig
    key: str
    value: Any

    @property
    def label(self) -> str:
        """E.g. ``epochs = 20``."""
        return variation_words(self.key, self.value)

    @property
    def name(self) -> str:
        """The same as a file name."""
        text = f"{self.key.rpartition('.')[2]}-{_plain(self.value)}"
        return re.sub(r"[^A-Za-z0-9._+-]", "_", text)[:60]


def variation_words(key: str, value: Any) -> str:
    """Return a setting and its value in short, e.g. ``epochs = 20``."""
    return f"{key.rpartition('.')[2]} = {_plain(value)}"


def setting_keys(config: ReconstructionConfig) -> list[str]:
    """Return the names of all settings, with dots, e.g. ``inr.schedule.epochs``."""
    hidden = ("schema_version", "preset")
    return [key for key in _leaves(config.model_dump()) if key not in hidden]


def vary(
    config: ReconstructionConfig, key: str, values: Sequence[str]
) -> list[Variation]:
    """Return the settings once for every value of one of them.

    key: as `setting_keys` names it, or its last parts where these are unique.
    values: as in a settings file, quotes may be left out; ``none`` for no value.
    Raises `UserError` for a key that is not there, a value that is not allowed, a value
    that comes twice, no value, or too many.
    """
    found = _full_key(config, key)
    texts = [text.strip() for text in values if text.strip()]
    if not 1 <= len(texts) <= MOST:
        raise UserError(
            f"The values of {key} cannot be used",
            f"there are {len(texts)} of them",
            f"Give 1 to {MOST} values with commas between them",
        )
    variations: list[Variation] = []
    for text in texts:
        nested: Any = _parsed(text)
        for part in reversed(found.split(".")):
            nested = {part: nested}
        changed = config.merged(nested)
        value = value_of(changed, found)
        if any(value == other.value for other in variations):
            raise UserError(
                f"The values of {key} cannot be used",
                f"{_plain(value)} comes twice",
                "Give every value once",
            )
        variations.append(Variation(changed, found, value))
    return variations


def _full_key(config: ReconstructionConfig, key: str) -> str:
    keys = setting_keys(config)
    if key in keys:
        return key
    fitting = [name for name in keys if name.endswith(f".{key}")]
    if len(fitting) == 1:
        return fitting[0]
    near = fitting or [n for n in keys if key and key.lower() in n] or keys
    raise UserError(
        f"The setting {key!r} cannot be varied",
        "several settings are called so" if fitting else "there is no such setting",
        f"Give one of {', '.join(near[:12])}",
    )


def _leaves(values: dict[str, Any], before: str = "") -> list[str]:
    keys = []
    for name, value in values.items():
        if isinstance(value, dict):
            keys += _leaves(value, f"{before}{name}.")
        else:
            keys.append(f"{before}{name}")
    return keys


def value_of(config: ReconstructionConfig, key: str) -> Any:
    """Return the value of a setting."""
    value: Any = config.model_dump()
    for part in key.split("."):
        value = value[part]
    return value


def _parsed(text: str) -> Any:
    if text.lower() == "none":
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value).lower()
