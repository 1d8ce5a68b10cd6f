"""Directives that write the page of failures from its words and measured figures."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[2]
WORDS = ROOT / "docs" / "failures.toml"
RESULTS = ROOT / "benchmarks" / "results"


def words() -> list[dict[str, Any]]:
    """Return what is said about every scenario."""
    listed = tomllib.loads(WORDS.read_text(encoding="utf-8"))["scenario"]
    return sorted(listed, key=lambda scenario: scenario["number"])


def newest() -> dict[str, Any] | None:
    """Return the newest result of ``make test-faults``."""
    paths = sorted(RESULTS.glob("faults-*.json"))
    return json.loads(paths[-1].read_text(encoding="utf-8")) if paths else None


def sections() -> Iterator[str]:
    """Yield the Markdown lines of all scenarios."""
    for scenario in words():
        yield f"## {scenario['number']}. {scenario['title']}"
        yield ""
        yield scenario["happens"]
        yield ""
        yield f"*What you see:* {scenario['see']}"
        yield ""
        yield f"*What to do:* {scenario['do']}"
        yield ""


def figures() -> Iterator[str]:
    """Yield the Markdown lines of the table of figures."""
    result = newest()
    if result is None:
        yield "No run of `make test-faults` is recorded."
        return
    machine = result["machine"]
    yield (
        f"Run on {result['date'][:10]} on {machine['cores']} cores "
        f"({machine['processor']}), Python {machine['python']}. "
        + result.get("note", "").capitalize()
    )
    yield ""
    yield "| | scenario | outcome | figures |"
    yield "| --- " * 4 + "|"
    for row in result["scenarios"]:
        told = "<br>".join(row["figures"]) or row["reason"]
        told = told.replace("|", "\\|")
        yield f"| {row['number']} | {row['title']} | {row['outcome']} | {told} |"


CARDS = (1, 2, 4, 8, 16, 32, 64)
MESSAGE_BYTES = 4 * 1_053_185
"""Weights of the paper's network."""
LINKS = {
    "25 GB/s, 10 us (within a node, or a fast network)": (25e9, 10e-6),
    "1.25 GB/s, 50 us (10 Gbit/s Ethernet)": (1.25e9, 50e-6),
}
STEPS_S = (1e-3, 10e-3, 44e-3)
"""Times of a step on one card; 44 ms follows from the paper's own figures."""


def measured_steps() -> dict[str, float]:
    """Return the measured step times of the preset `paper`, in s, under their names."""
    paths = sorted(RESULTS.glob("gpu-[0-9]*.json"))
    result = json.loads(paths[-1].read_text(encoding="utf-8")) if paths else {}
    found = {}
    for row in result.get("rows", []):
        if row.get("step_s") and row["part"].startswith("paper"):
            where = f"measured on {result['device']}, {row['case']}"
            found[f"{1e3 * row['step_s']:.1f} ms, {where}"] = row["step_s"]
    return found


def step_time(one_s: float, cards: int, bandwidth: float, delay_s: float) -> float:
    """Return the predicted time of a step whose batch is shared out, in s."""
    share = 2 * (cards - 1) / cards * MESSAGE_BYTES / bandwidth
    return one_s / cards + share + 2 * (cards - 1) * delay_s


def model() -> Iterator[str]:
    """Yield the Markdown lines of the predicted gains."""
    yield f"| step on one card | link | {' | '.join(map(str, CARDS))} |"
    yield "| --- " * (2 + len(CARDS)) + "|"
    assumed = {f"{1e3 * one_s:.0f} ms, assumed": one_s for one_s in STEPS_S}
    for told, one_s in (measured_steps() | assumed).items():
        for name, link in LINKS.items():
            gains = [one_s / step_time(one_s, cards, *link) for cards in CARDS]
            row = " | ".join(f"{gain:.1f}" for gain in gains)
            yield f"| {told} | {name} | {row} |"
    yield ""
    yield "*Predicted* gain over one card, for the network of the preset `paper`."


class CostModel(SphinxDirective):
    """Put the table of predicted gains here."""

    def run(self) -> list[nodes.Node]:
        """Parse the table as part of the page."""
        return self.parse_text_to_nodes("\n".join(model()))


class FailureWords(SphinxDirective):
    """Put a section for every scenario here."""

    def run(self) -> list[nodes.Node]:
        """Parse the sections as part of the page."""
        self.env.note_dependency(str(WORDS))
        text = "\n".join(sections())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class FailureFigures(SphinxDirective):
    """Put the table of figures here."""

    def run(self) -> list[nodes.Node]:
        """Parse the table as part of the page."""
        return self.parse_text_to_nodes("\n".join(figures()))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("failure-words", FailureWords)
    app.add_directive("cost-model", CostModel)
    app.add_directive("failure-figures", FailureFigures)
    return {"parallel_read_safe": True}
