"""The ``error-tables`` directive: every `UserError` of the source, area by area.

The page is read from the code, without running it: a message that is added, changed or
taken away is so on the page as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

SOURCE = Path(__file__).resolve().parents[2] / "src" / "napari_inr_tomo"
AREAS = {
    "Opening and writing files": ("io", "npz", "mapped", "layout", "atomic"),
    "Cleaning and background": ("preprocess", "planes", "parallel2d"),
    "Alignment and poses": ("align", "geometry", "types"),
    "Settings": ("config",),
    "Reconstruction": ("engine", "inr", "classic"),
    "Runs, queues and clusters": (
        *("runs", "lock", "journal", "events", "replay", "restarts"),
        *("provenance", "guard", "passes", "plain"),
    ),
    "During an acquisition": ("acquire",),
    "Comparing and simulating": ("metrics", "simulate", "demo"),
    "The window": ("ui",),
    "The command line": ("cli",),
}
"""Which modules of the package belong to which heading; every one to one."""

GAP = "…"
"""Stands for what only the moment can tell: a name, a number, a reason."""

PARTS = ("what", "why", "do")
Row = tuple[str, str, str]


def constants(module: ast.Module) -> dict[str, ast.expr]:
    """Return the names a module gives to values at its top."""
    found: dict[str, ast.expr] = {}
    for node in module.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
    return found


def said(node: ast.expr, known: dict[str, ast.expr]) -> str:
    """Return what an expression says, with gaps where it cannot be known."""
    match node:
        case ast.Constant(value=value):
            return str(value)
        case ast.JoinedStr(values=values):
            return "".join(said(value, known) for value in values)
        case ast.FormattedValue(value=value):
            return said(value, known)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return said(left, known) + said(right, known)
        case ast.IfExp(body=body, orelse=orelse):
            choices = [said(choice, known) for choice in (body, orelse)]
            before = " " if any(text[:1] in (" ", ",") for text in choices) else ""
            words = dict.fromkeys(text.strip(" ,") for text in choices)
            return before + " / ".join(word for word in words if word)
        case ast.Name(id=name) if name in known:
            rest = {key: value for key, value in known.items() if key != name}
            return said(known[name], rest)
    return GAP


def errors(path: Path) -> Iterator[Row]:
    """Yield what is said, why, and what to do, for each error a module can raise."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    known = constants(module)
    for node in ast.walk(module):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id != "UserError":
            continue
        given = dict(zip(PARTS, node.args, strict=False))
        given |= {word.arg: word.value for word in node.keywords if word.arg}
        yield tuple(" ".join(said(given[part], known).split()) for part in PARTS)


def area(path: Path) -> str:
    """Return the heading a module belongs to; raises `LookupError` for a new one."""
    first = path.relative_to(SOURCE).with_suffix("").parts[0]
    return next(name for name, modules in AREAS.items() if first in modules)


def collected() -> dict[str, list[Row]]:
    """Return the rows under each heading, each once, sorted by what is said.

    An error that is only passed on, with nothing of its own to say, is left out.
    """
    rows: dict[str, set[Row]] = {name: set() for name in AREAS}
    for path in sorted(SOURCE.rglob("*.py")):
        told = [row for row in errors(path) if row[0] != GAP]
        if told:
            rows[area(path)].update(told)
    return {name: sorted(found, key=_by_words) for name, found in rows.items()}


def _by_words(row: Row) -> tuple[str, ...]:
    return tuple(part.lower() for part in row)


def cell(text: str) -> str:
    """Return a text so that Markdown shows it as it is, in a table."""
    for mark in "\\`*_[]<>|$":
        text = text.replace(mark, f"\\{mark}")
    return text


def tables() -> Iterator[str]:
    """Yield the Markdown lines of all tables."""
    for name, rows in collected().items():
        if not rows:
            continue
        yield from (f"## {name}", "", "| what is said | why | what to do |")
        yield "| --- " * 3 + "|"
        for row in rows:
            yield f"| {' | '.join(map(cell, row))} |"
        yield ""


class ErrorTables(SphinxDirective):
    """Put the tables of all errors here."""

    def run(self) -> list[nodes.Node]:
        """Parse the tables as part of the page."""
        for path in sorted(SOURCE.rglob("*.py")):
            self.env.note_dependency(str(path))
        text = "\n".join(tables())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("error-tables", ErrorTables)
    return {"parallel_read_safe": True}
