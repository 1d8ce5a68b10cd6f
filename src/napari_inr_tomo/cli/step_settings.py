"""``--set STEP.NAME=VALUE``: settings of single steps, by their names in Python."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from napari_inr_tomo.errors import UserError

_WORDS = {"true": True, "yes": True, "false": False, "no": False, "none": None}


def step_settings(
    words: Sequence[str], steps: dict[str, Callable[..., Any]]
) -> dict[str, dict[str, Any]]:
    """Return the settings of each step, checked against its function.

    words: ``step.name=value`` each; a value is a number, a word, true or false, or
    numbers with colons between them.
    Raises `UserError` for a step, a name or a kind of value that does not exist.
    """
    found: dict[str, dict[str, Any]] = {}
    for word in words:
        place, equals, text = word.partition("=")
        step, dot, name = place.strip().partition(".")
        if not (equals and dot):
            raise UserError(
                f"--set {word} is not understood",
                "it must be a step, a point, a name, an equals sign and a value",
                "Write e.g. --set xcorr.stretch=true",
            )
        if step not in steps:
            raise UserError(
                f"--set {word} does not fit these steps",
                f"{step} is none of {', '.join(steps) or 'them: none was asked for'}",
                "Ask for the step as well, or leave the setting out",
            )
        defaults = {
            key: parameter.default
            for key, parameter in inspect.signature(steps[step]).parameters.items()
            if parameter.default is not inspect.Parameter.empty and key != "mask"
        }
        if name not in defaults:
            raise UserError(
                f"--set {word} names an unknown setting",
                f"the step {step} has {', '.join(defaults) or 'none'}",
                "Choose one of these",
            )
        found.setdefault(step, {})[name] = _value(word, text.strip(), defaults[name])
    return found


def _value(word: str, text: str, default: Any) -> Any:
    value = _plain(text)
    fits = {
        bool: isinstance(value, bool),
        int: isinstance(value, int) and not isinstance(value, bool),
        float: isinstance(value, int | float) and not isinstance(value, bool),
        str: isinstance(value, str),
        tuple: isinstance(value, tuple),
    }.get(type(default), not isinstance(value, str | bool))
    if not fits:
        raise UserError(
            f"--set {word} has a value of the wrong kind",
            f"the default is {'no value' if default is None else default}",
            "Give a number, a word, true or false, or numbers with colons, as the "
            "default is",
        )
    return value


def _plain(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        numbers = tuple(_number(part) for part in text.split(":"))
    except ValueError:
        return text
    return numbers if len(numbers) > 1 else numbers[0]


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)
