"""The page of messages says what the code says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import error_tables
import pytest

from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io import read_series
from napari_inr_tomo.simulate.samples import sample_simulation


def missing_file() -> None:
    read_series(Path("no-such-folder/no-such-file.mrc"))


def unknown_sample() -> None:
    sample_simulation("no-such-sample")


def bad_settings() -> None:
    ReconstructionConfig.parse({"depth_px": -1})


@pytest.mark.parametrize(
    ("cause", "heading"),
    [
        (missing_file, "Opening and writing files"),
        (unknown_sample, "Comparing and simulating"),
        (bad_settings, "Settings"),
    ],
)
def test_an_error_that_is_raised_stands_under_its_heading(
    cause: Callable[[], None], heading: str
) -> None:
    with pytest.raises(UserError) as caught:
        cause()
    problem = caught.value
    rows = error_tables.collected()[heading]
    told = (problem.what, problem.why, problem.do)
    assert any(all(map(fits, row, told)) for row in rows)


def fits(written: str, told: str) -> bool:
    pattern = ".*".join(map(re.escape, written.split(error_tables.GAP)))
    return re.fullmatch(pattern, " ".join(told.split())) is not None


def test_no_message_is_forgotten() -> None:
    sources = sorted(error_tables.SOURCE.rglob("*.py"))
    calls = sum(
        len(re.findall(r"\bUserError\(\n?\s*f?\"", path.read_text("utf-8")))
        for path in sources
    )
    found = [row for path in sources for row in error_tables.errors(path)]
    said = [row for row in found if row[0] != error_tables.GAP]
    assert calls > 200
    assert len(said) == calls


def test_every_area_names_modules_that_exist() -> None:
    names = [name for modules in error_tables.AREAS.values() for name in modules]
    assert len(names) == len(set(names))
    for name in names:
        place = error_tables.SOURCE / name
        assert place.is_dir() or place.with_suffix(".py").is_file(), name


def test_words_that_depend_on_the_moment_are_gaps(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "_HOW = 'Choose ' + 'another'\n"
        "raise UserError(f'It has {n} views', 'few' if n < 2 else 'many', _HOW)\n"
    )
    assert list(error_tables.errors(module)) == [
        ("It has … views", "few / many", "Choose another")
    ]
