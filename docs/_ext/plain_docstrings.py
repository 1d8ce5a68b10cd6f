"""Docstrings of this project as they are meant: prose, and one line per array.

A paragraph that holds lines such as ``images: (tilt, y, x) float32`` becomes a list of
these lines; everything else stays a paragraph.  Characters that reStructuredText takes
for markup are escaped, except inside back quotes.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

from sphinx.application import Sphinx

_ENTRY = re.compile(r"[a-z][\w, ]*: ")
_ALIAS = re.compile(r"TypeAliasForwardRef\('(\w+)'\)")
_QUOTED = re.compile(r"(``.+?``|`[^`]+`)")
_MARKUP = re.compile(r"([*|\\_])")


def escaped(text: str) -> str:
    """Escape markup outside of back quotes."""
    parts = _QUOTED.split(text)
    return "".join(
        part if _QUOTED.fullmatch(part) else _MARKUP.sub(r"\\\1", part)
        for part in parts
    )


def entries(paragraph: list[str]) -> list[str]:
    """Join the lines of one paragraph to list items or to a paragraph."""
    if not any(_ENTRY.match(line) for line in paragraph):
        return [escaped(" ".join(line.strip() for line in paragraph))]
    items: list[str] = []
    for line in paragraph:
        if _ENTRY.match(line) or not items:
            items.append(line.strip())
        else:
            items[-1] += " " + line.strip()
    return [f"* {escaped(item)}" for item in items]


def plain(lines: list[str]) -> list[str]:
    """Return the reStructuredText of a docstring."""
    result: list[str] = []
    for block in inspect.cleandoc("\n".join(lines)).split("\n\n"):
        paragraph = block.splitlines()
        if paragraph and all(line.startswith("    ") for line in paragraph):
            result += ["::", "", *paragraph, ""]
        elif paragraph:
            result += [*entries(paragraph), ""]
    return result


def process(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Replace a docstring's lines in place."""
    lines[:] = plain(lines)


def shorten(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, args: Any, result: Any
) -> tuple[Any, Any]:
    """Write type aliases in signatures as their bare names."""
    args = args and _ALIAS.sub(r"\1", args)
    return args, result and _ALIAS.sub(r"\1", result)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the hook."""
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True}
