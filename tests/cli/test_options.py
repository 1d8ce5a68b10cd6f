"""Options of ``reconstruct`` that mean something for some methods only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from napari_inr_tomo.cli.jobs import Wishes
from napari_inr_tomo.errors import UserError

Cli = Callable[..., Any]


@pytest.mark.parametrize(
    "wishes",
    [
        Wishes(method="sirt", epochs=3),
        Wishes(method="inr", iterations=3),
        Wishes(method="tv", refine_poses=True),
    ],
)
def test_options_without_meaning_are_refused(wishes: Wishes) -> None:
    with pytest.raises(UserError, match="has no meaning here"):
        wishes.settings()


@pytest.mark.parametrize("method", ["sirt", "tv", "fbp"])
@pytest.mark.usefixtures("fake_engine")
def test_one_line_of_options_serves_all_classical_methods(
    cli: Cli, stack: Path, tmp_path: Path, method: str
) -> None:
    words = ("--preset", "preview", "--iterations", 3, "--no-refine-poses")
    answer = cli("reconstruct", stack, "-o", tmp_path / "v.npy", "--method", method,
                 *words, "--seed", 1)  # fmt: skip
    assert answer.status == 0, answer.err
    assert "--preset changes nothing" in answer.err
    assert ("--iterations changes nothing" in answer.err) == (method == "fbp")
