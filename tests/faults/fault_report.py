"""One line for every failure scenario, and the figures as a benchmark's result."""

from __future__ import annotations

import sys
import time
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from patience import FairClock

ROOT = Path(__file__).resolve().parents[2]
WORDS = ROOT / "docs" / "failures.toml"


def scenarios() -> dict[int, dict[str, str]]:
    """Return the words about every scenario under its number."""
    listed = tomllib.loads(WORDS.read_text(encoding="utf-8"))["scenario"]
    return {entry["number"]: entry for entry in listed}


class FaultReport:
    """A pytest plugin: gathers outcomes and figures under the scenarios' numbers."""

    def __init__(self) -> None:
        self.numbers: dict[str, list[int]] = {}
        self.found: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self.clock = FairClock()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if not _quick_variant(item)]
        for item in items:
            marks = item.iter_markers("scenario")
            self.numbers[item.nodeid] = [n for mark in marks for n in mark.args]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.clock.seconds()
        told = report.when == "call" or report.outcome != "passed"
        for number in self.numbers.get(report.nodeid, []) if told else []:
            reason = report.longrepr[2] if report.skipped else ""
            self.found[number].append(
                {
                    "test": report.nodeid,
                    "outcome": report.outcome,
                    "reason": str(reason).removeprefix("Skipped: "),
                    "seconds": round(report.duration, 1),
                    "figures": [v for k, v in report.user_properties if k == "figure"],
                }
            )

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        rows = [self._row(number, words) for number, words in scenarios().items()]
        terminalreporter.section("failure scenarios")
        for row in rows:
            figures = "; ".join(row["figures"]) or row["reason"]
            line = f"{row['number']:3} {row['outcome']:11} {row['title']}: {figures}"
            terminalreporter.write_line(line)
        slowest = sorted(rows, key=lambda row: -row["seconds"])[:6]
        named = [f"{row['number']} ({row['seconds']:.0f} s)" for row in slowest]
        terminalreporter.write_line(f"slowest scenarios: {', '.join(named)}")
        minutes, note = self._cost()
        terminalreporter.write_line(note)
        missing = sum(row["outcome"] == "not tested" for row in rows)
        if missing:
            terminalreporter.write_line(f"not written: {missing} were not tested")
            return
        sys.path.insert(0, str(ROOT / "benchmarks"))
        import record

        path = record.write(
            "faults", {"minutes": minutes, "note": note, "scenarios": rows}
        )
        terminalreporter.write_line(f"written to {path.relative_to(ROOT)}")

    def _cost(self) -> tuple[float, str]:
        """Return the minutes it took, and what they were worth in words."""
        fair = self.clock.seconds() / 60
        minutes = (time.monotonic() - self.clock.began) / 60
        note = f"it took {minutes:.0f} minutes"
        if fair < 0.9 * minutes:
            note += (
                f", in which other programs left it what a quiet machine would have "
                f"done in about {fair:.0f}"
            )
        return round(minutes, 1), note + "."

    def _row(self, number: int, words: dict[str, str]) -> dict[str, Any]:
        tests = self.found[number]
        outcomes = {test["outcome"] for test in tests}
        if "failed" in outcomes:
            outcome = "FAILED"
        elif not outcomes:
            outcome = "not tested"
        elif "skipped" in outcomes:
            outcome = "not checked" if outcomes == {"skipped"} else "in part"
        else:
            outcome = "held"
        return {
            "number": number,
            "title": words["title"],
            "outcome": outcome,
            "figures": [figure for test in tests for figure in test["figures"]]
            or _count(tests),
            "reason": "; ".join(t["reason"] for t in tests if t["reason"]),
            "seconds": round(sum(test["seconds"] for test in tests), 1),
            "tests": [test["test"] for test in tests],
        }


def _quick_variant(item: pytest.Item) -> bool:
    """Tell whether it is the short form, for every day, of a test that runs whole."""
    call = getattr(item, "callspec", None)
    return call is not None and "few" in call.id.split("-")


def _count(tests: list[dict[str, Any]]) -> list[str]:
    passed = sum(test["outcome"] == "passed" for test in tests)
    return [f"{passed} of {len(tests)} tests passed"] if tests else []
