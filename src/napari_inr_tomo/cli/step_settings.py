"""``--set STEP.NAME=VALUE``: settings of single steps, by their names in Python."""

from __future__ import annotations

import inspect
import math
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
        known = {
            key: parameter
            for key, parameter in inspect.signature(steps[step]).parameters.items()
            if parameter.default is not inspect.Parameter.empty and key != "mask"
        }
        if name not in known:
            raise UserError(
                f"--set {word} names an unknown setting",
                f"the step {step} has {', '.join(known) or 'none'}",
                "Choose one of these",
            )
        found.setdefault(step, {})[name] = _value(word, text.strip(), known[name])
    return found


def _value(word: str, text: str, parameter: inspect.Parameter) -> Any:
    """Return the value in the text; its kind is what the function says it takes."""
    value, kind, default = _plain(text), str(parameter.annotation), parameter.default
    of_one = {"bool": "true or false", "str": "a word", "int": "a whole number"}
    name = kind.partition(" ")[0]
    expected = of_one.get(name, "a number")
    if name == "bool":
        fits = isinstance(value, bool)
    elif name == "str":
        fits = isinstance(value, str)
    elif name in ("int", "float"):
        fits = _is_number(value, name == "int")
    else:  # several numbers; whole ones where the kind does not speak of others
        count, whole = 0 if default is None else len(default), "float" not in kind
        expected = (
            f"{count or 'several'} {'whole ' if whole else ''}numbers with colons"
        )
        fits = isinstance(value, tuple) and count in (0, len(value))
        fits = fits and all(_is_number(number, whole) for number in value)
    if fits or (value is None and default is None):
        return value
    raise UserError(
        f"--set {word} has a value of the wrong kind",
        f"{parameter.name} takes {expected}{' or none' if default is None else ''}, "
        f"and the default is {'none' if default is None else default}",
        "Give a value of that kind",
    )


def _is_number(value: Any, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) if whole else math.isfinite(value)


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
