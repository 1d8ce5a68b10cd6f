"""The ``benchmark`` directive: a table of the newest committed result of a benchmark.

What has not been measured says so.  Nothing is computed here but means over phantoms.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
MISSING = "*not measured*"
Row = list[Any]


def newest(name: str, folder: Path = RESULTS) -> dict[str, Any] | None:
    """Return the newest result called ``name``, None where there is none."""
    files = sorted(folder.glob(f"{name}-[0-9][0-9][0-9][0-9]-*.json"))
    return json.loads(files[-1].read_text(encoding="utf-8")) if files else None


def table(head: Row, rows: list[Row]) -> Iterator[str]:
    """Yield the Markdown lines of a table; None is what was not measured."""
    yield f"| {' | '.join(map(str, head))} |"
    yield f"| {'--- | ' * len(head)}"
    for row in rows or [[None] * len(head)]:
        cells = [MISSING if cell is None else str(cell) for cell in row]
        yield f"| {' | '.join(cells)} |"
    yield ""


def origin(result: dict[str, Any] | None) -> Iterator[str]:
    """Yield a line about when and on what a result was measured."""
    if result is None:
        return
    machine = result["machine"]
    versions = ", ".join(
        f"{name} {version}" for name, version in machine["versions"].items() if version
    )
    load = machine["load_average"][0]
    yield (
        f"Measured {result['date'][:10]} on {machine['processor']}, "
        f"{machine['cores']} cores, load {load} at the end; {versions}."
    )
    yield ""


def classic(result: dict[str, Any] | None) -> Iterator[str]:
    """Yield the times of one forward and one back projection."""
    rows = []
    for row in (result or {}).get("projections", []):
        for case, times in row.items():
            if isinstance(times, dict):
                rows.append([row["size"], case, times["wall_ms"], times["cpu_ms"]])
    yield from table(["size", "case", "wall, ms", "processor, ms"], rows)


BUSY = "-"
"""In place of seconds that say nothing: the machine had other work."""


def paper(result: dict[str, Any] | None) -> Iterator[str]:
    """Yield every reconstruction of a suite of the paper's experiments."""
    found = _over_seeds(_with_times(result or {}))
    repeated = any(row["seeds"] > 1 for row in found)
    learnt = any("error_shift_px" in row for row in found)
    varied = len({row["suite"] for row in found}) > 1
    rows = []
    for row in found:
        cells = [row["suite"]] if varied else []
        cells += [row["case"], row["phantom"], row["tilts"], row.get("dose") or "none"]
        cells += [row["method"], row["ssim"]]
        if repeated:
            cells += [row["lowest"], row["seeds"]]
        cells += [row["ssim_support"], row["psnr_db"]]
        if learnt:
            errors = row.get("error_axis_deg"), row.get("error_shift_px")
            cells += ["" if error is None else error for error in errors]
        rows.append([*cells, row["wall_s"]])
    head = ["varied"] if varied else []
    head += ["case", "phantom", "tilts", "counts", "method", "SSIM"]
    head += ["lowest", "seeds"] if repeated else []
    head += ["SSIM in support", "PSNR, dB"]
    head += ["axis, degrees off", "shifts, px rms off"] if learnt else []
    yield from table([*head, "seconds"], rows)


def _over_seeds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for all seeds of a case: means, the lowest SSIM, least seconds."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    same = "suite", "case", "phantom", "tilts", "dose", "method", "loss", "refine"
    for row in rows:
        groups.setdefault(tuple(row.get(key) for key in same), []).append(row)
    merged = []
    for group in groups.values():
        means = {
            key: round(sum(row[key] for row in group) / len(group), 4)
            for key in ("ssim", "ssim_support", "psnr_db")
        }
        lowest = min(row["ssim"] for row in group)
        times = [row["wall_s"] for row in group if row["wall_s"] != BUSY]
        facts = {"lowest": lowest, "seeds": len(group)}
        merged.append(group[0] | means | facts | {"wall_s": min(times, default=BUSY)})
    return merged


def _with_times(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows, without seconds where others than the benchmark were at work.

    The rows were made one after the other: the load before the next is that after one.
    """
    rows: list[dict[str, Any]] = result.get("rows", [])
    if not rows or result.get("at_once", 1) > 1:
        return rows
    machine = result["machine"]
    loads = [row.get("load_before", 0.0) for row in rows]
    after = [*loads[1:], machine["load_average"][0]]
    most = machine["cores"] + 0.5
    return [
        row | {"wall_s": BUSY if max(two) > most else row["wall_s"]}
        for row, *two in zip(rows, loads, after, strict=True)
    ]


def peers(result: dict[str, Any] | None) -> Iterator[str]:
    """Yield the best point of every curve and the ratios of times."""
    rows = []
    for row in (result or {}).get("curves", []):
        best = max(row["points"], key=lambda point: point["ssim"], default=None)
        if best is not None:
            values = [best[k] for k in ("ssim", "psnr_db", "cpu_s", "wall_s")]
            rows.append([row["phantom"], row["tilts"], row["peer"], *values])
    head = ["phantom", "tilts", "program or method", "best SSIM", "PSNR, dB"]
    yield from table([*head, "processor, s", "wall, s"], sorted(rows))
    ratios = [
        [
            row["phantom"],
            row["tilts"],
            row["peer"],
            row["peer_ssim"],
            row["method"],
            row["times_faster_cpu_s"] or "not reached",
            row["times_faster_wall_s"] or "not reached",
        ]
        for row in (result or {}).get("ratios", [])
        if row["peer"] == "quantem lite"
    ]
    head = ["phantom", "tilts", "other", "its best SSIM", "method here"]
    yield from table([*head, "times faster (processor)", "(wall)"], ratios)


def memory(result: dict[str, Any] | None) -> Iterator[str]:
    """Yield peaks beside estimates."""
    rows = [
        [
            row["size"],
            row["case"],
            row["method"],
            round(row["peak_bytes"] / 1e6),
            round(row["estimate_bytes"] / 1e6),
            row["peak_over_estimate"],
        ]
        for row in (result or {}).get("rows", [])
    ]
    head = ["size", "case", "method", "peak, MB", "estimate, MB", "ratio"]
    yield from table(head, rows)


def expected(result: dict[str, Any] | None) -> Iterator[str]:
    """Yield what was said before runs beside what they took."""
    rows = [
        [
            (result or {})["size"],
            row["method"],
            row["said_s"],
            row["seconds"],
            round(row["said_bytes"] / 1e6),
            round(row["peak_bytes"] / 1e6),
            row["measuring_s"] or "known",
        ]
        for row in (result or {}).get("rows", [])
    ]
    head = ["size", "method", "said, s", "took, s", "said, MB", "peak, MB"]
    yield from table([*head, "measuring, s"], rows)


STEPS = {
    "raw": "before",
    "xcorr": "after cross-correlation",
    "axis": "after the tilt axis",
    "match": "after projection matching",
}
OTHERS = ("cross-correlation alone", "torch-tiltxcorr")


def alignment(result: dict[str, Any] | None) -> Iterator[str]:
    """Yield the errors of shifts and axis after every step, a row per series."""
    rows = []
    for row in (result or {}).get("seeds", []):
        steps = [row["steps"][name] for name in STEPS]
        cells = [f"{s['shift_px']:.2f} / {s['axis_deg']:+.1f}" for s in steps]
        stated = [f"±{row['axis_sigma_deg']:.2f}", "yes" if row["flagged"] else "no"]
        others = [row[name] and f"{row[name]['shift_px']:.2f}" for name in OTHERS]
        rows.append([f"{row['phantom']} {row['seed']}", *cells, *stated, *others])
    yield from table(["specimen", *STEPS.values(), "stated", "flagged", *OTHERS], rows)
    if result is not None:
        yield (
            f"{result['right']} of {len(rows)} are within 0.5 px and 0.5 degrees; "
            f"{result['wrong_and_not_flagged']} of the others carry no flag."
        )


def doubts(result: dict[str, Any] | None) -> Iterator[str]:
    """Yield how many series of each phantom are right, and how many are flagged."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for row in (result or {}).get("seeds", []):
        kinds.setdefault(row["phantom"], []).append(row)
    rows = []
    for phantom, found in kinds.items():
        right = [row for row in found if row["right"]]
        wrong = [row for row in found if not row["right"]]
        flagged = [sum(row["flagged"] for row in part) for part in (right, wrong)]
        worst = max(abs(row["error"]["axis_deg"]) for row in found)
        counts = [len(found), len(right), flagged[0], len(wrong), flagged[1]]
        rows.append([phantom, *counts, f"{worst:.2f}"])
    head = ["specimen", "series", "right", "of these flagged", "wrong"]
    yield from table([*head, "of these flagged", "largest axis error, degrees"], rows)


def scan(result: dict[str, Any] | None) -> Iterator[str]:
    """Yield the errors of the offsets of scan pairs, over seeds."""
    pairs = _grouped((result or {}).get("pairs", []), "shape_yx", "drift_px", "dose")
    rows = [
        [
            " x ".join(map(str, found[0]["shape_yx"])),
            found[0]["drift_px"],
            found[0]["dose"] or "none",
            *(_middle_and_most([row[what] for row in found]) for what in PAIR_ERRORS),
        ]
        for found in pairs
    ]
    head = ["pixels", "drift, px", "counts", "lines the other scan sees, px"]
    yield from table([*head, "all lines, px"], rows)


def passes(result: dict[str, Any] | None) -> Iterator[str]:
    """Yield the errors of interleaved passes, over seeds."""
    rows = []
    for found in _grouped((result or {}).get("passes", []), "phantom", "dose"):
        first, second = np.array([row["axis_deg"] for row in found]).T
        flagged = sum(row["flagged"] for row in found)
        rows.append(
            [
                found[0]["phantom"],
                found[0]["dose"],
                _middle_and_most([row["shift_px"] for row in found]),
                _middle_and_most(np.abs([first, second]).max(axis=0)),
                _middle_and_most(np.abs(second - first)),
                f"{flagged} of {len(found)}",
            ]
        )
    head = ["specimen", "counts", "shifts, px", "axes, degrees"]
    yield from table([*head, "between the axes, degrees", "flagged"], rows)


PAIR_ERRORS = ("seen_px", "all_px")


def _grouped(rows: list[dict[str, Any]], *keys: str) -> list[list[dict[str, Any]]]:
    """Return the rows that agree in these keys, together, as they come."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(str([row[key] for key in keys]), []).append(row)
    return list(found.values())


def _middle_and_most(values: Any) -> str:
    """Return the median of the seeds and the largest."""
    return f"{np.median(values):.3f} / {np.max(values):.3f}"


def axis(result: dict[str, Any] | None) -> Iterator[str]:
    """Yield the times of one change of the axis."""
    figures = ("clock_median_ms", "clock_p90_ms", "processor_median_ms")
    rows = [
        [what, *(result[what][name] for name in figures)]
        for what in ("computed", "shown")
        if result is not None
    ]
    yield from table(["", "median, ms", "nine in ten, ms", "processor, ms"], rows)


def heartbeat(result: dict[str, Any] | None) -> Iterator[str]:
    """Yield how the window answered in every run, and how fast docks open."""
    rows = [
        [
            f"{row['side_px']} px, {row['tilts']} tilts",
            row["preset"],
            row["first_volume_s"],
            round(row["seconds"]),
            row["beats"],
            row["gaps_above_100_ms"],
            row["longest_gap_ms"],
            max((gap.get("window_ms", 0) for gap in row["gaps"]), default="") or "",
        ]
        for row in (result or {}).get("runs", [])
    ]
    head = ["series", "preset", "first volume, s", "watched, s", "beats"]
    own = "of late ones the window's own, ms"
    yield from table([*head, "late by 100 ms", "longest gap, ms", own], rows)
    if result is not None:
        docks = result["docks"]
        slowest = max(docks, key=lambda row: row["s"])
        yield (
            f"The package is imported in {result['import_ms']} ms. The slowest of "
            f"{len(docks)} docks to open is {slowest['dock']} with {slowest['s']} s; "
            f"{sum(row['torch'] for row in docks)} of them import torch."
        )


def background(result: dict[str, Any] | None) -> Iterator[str]:
    """Yield the times of the background of every series, and its error."""
    rows = [
        [
            f"{row['tilts']} of {row['size_px']} x {row['size_px']} px",
            row["settings"],
            row["clock_s"],
            row["processor_s"],
            row["error"],
        ]
        for row in (result or {}).get("rows", [])
    ]
    head = ["series", "settings", "clock, s", "processor, s", "error"]
    yield from table(head, rows)


def gpu(result: dict[str, Any] | None) -> Iterator[str]:
    """Yield every figure of a graphics card and how it was come by."""
    if result is not None:
        yield f"The card is {result['device']}."
        if not result["complete"]:
            yield "The benchmark did not come to its end."
        yield ""
    rows = [
        [row["part"], row["case"], row["value"], row["unit"], row["how"]]
        for row in (result or {}).get("rows", [])
    ]
    yield from table(["part", "case", "figure", "unit", "how"], rows)


KINDS: dict[str, Callable[[dict[str, Any] | None], Iterator[str]]] = {
    "classic": classic,
    "paper": paper,
    "peers": peers,
    "memory": memory,
    "expected": expected,
    "alignment": alignment,
    "doubts": doubts,
    "scan": scan,
    "passes": passes,
    "axis": axis,
    "heartbeat": heartbeat,
    "background": background,
    "gpu": gpu,
}


class Benchmark(SphinxDirective):
    """Put the table of a result here: its kind is the first part of its name."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Parse the table as part of the page."""
        name = self.arguments[0]
        result = newest(name)
        lines = [*origin(result), *KINDS[name.split("-")[0]](result)]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("benchmark", Benchmark)
    return {"parallel_read_safe": True}
