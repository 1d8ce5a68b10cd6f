"""The pages of the documentation: their pictures, commands, and lists."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import napari_inr_tomo
from napari_inr_tomo import io
from napari_inr_tomo.cli.app import app
from napari_inr_tomo.simulate import Simulation, simulate_series

ROOT = Path(__file__).parents[2]
DOCS, SCRIPTS = ROOT / "docs", ROOT / "scripts"
IMAGES = DOCS / "images"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
DRAWN_BY_HAND = {"conventions.svg"}
FIGURES = ROOT / "benchmarks" / "figures.py"
LARGEST_BYTES = 300_000


def text_of(path: Path) -> str:
    return path.read_text("utf-8")


def pictures_named() -> dict[Path, set[Path]]:
    """Return the pictures that each page shows."""
    shown = {}
    for page in PAGES:
        names = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text_of(page))
        names += re.findall(r"\{(?:image|figure)\} (\S+)", text_of(page))
        shown[page] = {(page.parent / name).resolve() for name in names}
    return shown


def commands(page: Path) -> list[str]:
    """Return the commands in the shell blocks of a page, each on one line."""
    blocks = re.findall(r"^ *```bash\n(.*?)^ *```", text_of(page), re.DOTALL | re.M)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip().startswith("inr-tomo ")]


def quoted() -> list[Any]:
    return [
        pytest.param(line, id=f"{page.stem}: {line[:60]}")
        for page in PAGES
        for line in commands(page)
        if "STACK" not in line
    ]


def test_every_picture_that_a_page_names_exists() -> None:
    for page, pictures in pictures_named().items():
        for picture in pictures:
            assert picture.is_file(), f"{page.name} names {picture.name}"


def test_every_picture_is_shown_by_a_page_and_is_small() -> None:
    shown = set().union(*pictures_named().values())
    for picture in IMAGES.iterdir():
        assert picture.resolve() in shown, picture.name
        assert picture.stat().st_size < LARGEST_BYTES, picture.name


def test_every_picture_is_made_by_a_script_that_takes_it() -> None:
    made_by = runpy.run_path(str(SCRIPTS / "screenshots.py"))["MADE_BY"]
    made = [name for names in made_by.values() for name in names]
    assert len(made) == len(set(made))
    drawn = {path.name for path in IMAGES.glob("paper_*.png")}
    sweeps = re.findall(r'^    "(\w+)": \("', text_of(FIGURES), re.M)
    assert drawn == {f"paper_{name}.png" for name in ("sweeps", *sweeps)}
    there = {path.name for path in IMAGES.iterdir()} - DRAWN_BY_HAND - drawn
    assert {f"{name}.png" for name in made} == there
    tour = text_of(ROOT / "src" / "napari_inr_tomo" / "ui" / "tour.py")
    for script, names in made_by.items():
        source = text_of(SCRIPTS / f"screenshots_{script}.py") + tour
        for name in names:
            assert re.search(rf'["}}]{name}"', source), name


@pytest.mark.parametrize("line", quoted())
def test_every_command_that_is_quoted_can_be_read(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    group = typer.main.get_command(app)
    assert words[0] in group.commands
    command = group.commands[words[0]]
    with command.make_context(words[0], words[1:]):
        pass


@pytest.mark.parametrize("wrong", ["reconstruct a.mrc", "info a.mrc --no-such 3"])
def test_a_command_that_is_wrong_cannot_be_read(wrong: str) -> None:
    name, *words = wrong.split()
    command = typer.main.get_command(app).commands[name]
    with pytest.raises(Exception, match=r"output|No such option"):
        command.make_context(name, words)


def test_every_tutorial_quotes_a_command_and_says_what_can_be_wrong() -> None:
    pages = [page for page in TUTORIALS if page.stem != "index"]
    assert len(pages) == 6
    parts = ["What you need", "Steps", "What you should see", "What it means"]
    parts += ["If not", "On the command line"]
    index = text_of(DOCS / "tutorials" / "index.md")
    for page in pages:
        headings = re.findall(r"^## (.+)$", text_of(page), re.M)
        assert headings == parts, page.name
        assert commands(page), page.name
        assert f"\n{page.stem}\n" in index
        assert "reading.md" in text_of(page) or page.stem in BY_HAND, page.name


BY_HAND = {"manual_tilt_axis", "in_an_acquisition"}
"""Tutorials in which no network has the last word."""


def test_the_index_links_every_page() -> None:
    index = text_of(DOCS / "index.md")
    for page in DOCS.glob("*.md"):
        assert page.stem == "index" or f"\n{page.stem}\n" in index, page.name


def test_the_readme_names_every_command_for_the_work_and_the_hand_tools() -> None:
    readme = " ".join(text_of(ROOT / "README.md").split())
    for name in ("estimate", "drift", "merge", "acquire", "preprocess", "reconstruct"):
        assert f"inr-tomo {name}" in readme
    for dock in ("Reconstruct during acquisition", "Shift tilts by hand"):
        assert dock in readme
        assert f"display_name: {dock}" in text_of(
            Path(napari_inr_tomo.__file__).parent / "napari.yaml"
        )


def test_the_python_page_names_every_part_that_is_public() -> None:
    package = Path(napari_inr_tomo.__file__).parent
    named = set(text_of(DOCS / "api.md").split())
    for init in package.glob("*/__init__.py"):
        if "__all__" in text_of(init):
            assert init.parent.name in named, init.parent.name


def run_script(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Simulation:
    """Run the script on a page beside a simulated series and its truth."""
    made = simulate_series("chiral", 24, np.arange(-60, 61, 10.0), shift_sigma_px=1)
    io.write_series(folder / "series.mrc", made.series)
    io.write_volume(folder / "truth.mrc", made.truth)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    (script,) = re.findall(r"```python\n(.*?)```", text_of(DOCS / page), re.DOTALL)
    (folder / "script.py").write_text(script)
    runpy.run_path("script.py")
    return made


def test_the_script_on_the_python_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_script("api.md", tmp_path, monkeypatch)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("axis at ")
    assert any(line.startswith("Finished after") for line in said)
    assert float(said[-1].removeprefix("SSIM ")) > 0.5
    assert io.read_volume(tmp_path / "sirt.mrc").data.shape == (24, 24, 24)


def test_the_script_for_dark_matter_turns_the_images_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run_script("troubleshooting.md", tmp_path, monkeypatch)
    images, turned = made.series.images, io.read_series(tmp_path / "turned.mrc").images
    np.testing.assert_allclose(turned, images.max() - images, atol=1e-4)


def test_the_settings_page_names_every_setting() -> None:
    import settings_tables

    from napari_inr_tomo.config import ReconstructionConfig

    page = "\n".join(settings_tables.tables(ReconstructionConfig))
    tables = re.split(r"^## ", page, flags=re.M)
    heads = {table.split("\n", 1)[0]: table for table in tables if table}
    for key in ReconstructionConfig().flat():
        table, _, name = key.rpartition(".")
        head = f"`[{table}]`" if table else "At the top of the file"
        assert f"| `{name}` |" in heads[head], key


def test_the_settings_page_says_what_holds_where_a_file_says_nothing(
    tmp_path: Path,
) -> None:
    import settings_tables

    from napari_inr_tomo.config import ReconstructionConfig

    (tmp_path / "empty.toml").write_text("")
    usual = ReconstructionConfig.load(tmp_path / "empty.toml").flat()
    page = "\n".join(settings_tables.tables(ReconstructionConfig))
    tables = re.split(r"^## ", page, flags=re.M)
    heads = {table.split("\n", 1)[0]: table for table in tables if table}
    for key, value in usual.items():
        table, _, name = key.rpartition(".")
        head = f"`[{table}]`" if table else "At the top of the file"
        row = f"| `{name}` | {settings_tables.written(value)} |"
        assert row in heads[head], key
    assert "| `frozen` | `[]` | list: whole number >= 0 |" in page
