"""A directive that writes the table of the alignment from its benchmark's result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
STEPS = (
    ("raw", "before"),
    ("xcorr", "after cross-correlation"),
    ("axis", "after the tilt axis"),
    ("match", "after projection matching"),
)


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _lines(figures: dict[str, Any]) -> list[str]:
    """Return a Markdown table: shift error / axis error of every step and seed."""
    heads = ["specimen", *(title for _, title in STEPS), "stated", "flagged"]
    heads += ["cross-correlation alone", "torch-tiltxcorr"]
    lines = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    for row in figures["seeds"]:
        cells = [f"{row['phantom']} {row['seed']}"]
        for name, _ in STEPS:
            step = row["steps"][name]
            cells.append(f"{step['shift_px']:.2f} / {step['axis_deg']:+.1f}")
        cells.append(f"+-{row['axis_sigma_deg']:.2f}")
        cells.append("yes" if row["flagged"] else "")
        for name in ("cross-correlation alone", "torch-tiltxcorr"):
            other = row[name]
            cells.append(_number(None if other is None else other["shift_px"]))
        lines.append("| " + " | ".join(cells) + " |")
    total = len(figures["seeds"])
    lines += [
        "",
        f"{figures['right']} of {total} are within 0.5 px and 0.5 degrees; "
        f"{figures['wrong_and_not_flagged']} of the others carry no flag.",
    ]
    return lines


class AlignmentTable(SphinxDirective):
    """The latest results of ``benchmarks/alignment.py``."""

    def run(self) -> list[nodes.Node]:
        """Return the table, or a sentence where there are no results."""
        path = max(RESULTS.glob("alignment-*.json"), default=None)
        if path is None:
            return [nodes.paragraph(text="No results have been recorded.")]
        self.env.note_dependency(str(path))
        lines = _lines(json.loads(path.read_text(encoding="utf-8")))
        return self.parse_text_to_nodes(StringList(lines, source=str(path)))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("alignment-table", AlignmentTable)
    return {"parallel_read_safe": True}
