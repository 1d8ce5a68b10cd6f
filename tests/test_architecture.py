"""The house rules a machine can check; the floors stand in ``[tool.importlinter]``."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import npe2
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "napari_inr_tomo"
MANIFEST = PACKAGE / "napari.yaml"
LONGEST_FILE = 400
FACES = {"cli", "ui", "demo"}
USES_TORCH = {"classic", "inr", "engine"}
USES_NAPARI = {"ui", "demo"}
HEAVY = ("torch", "napari", "qtpy", "vispy")
WRITERS = {"print", "pprint", "sys.stdout.write", "sys.stderr.write"}


def parts() -> set[str]:
    """Names of the modules and packages right below the package."""
    paths = [*PACKAGE.glob("*.py"), *(p.parent for p in PACKAGE.glob("*/__init__.py"))]
    return {path.stem for path in paths} - {"__init__"}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def written_by(source: str) -> list[int]:
    """Lines of calls that write to the terminal."""
    calls = (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call))
    return [call.lineno for call in calls if ast.unparse(call.func) in WRITERS]


def modules_of(part: str) -> list[str]:
    """Importable names of a part and of all modules in it."""
    paths = [p for p in sources() if part_of(p) == part and p.stem != "__main__"]
    names = [p.relative_to(PACKAGE.parent).with_suffix("").parts for p in paths]
    return [".".join(name).removesuffix(".__init__") for name in names]


def imported_by(*modules: str) -> set[str]:
    """Heavy packages a fresh interpreter holds after importing modules."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(HEAVY) & set(done.stdout.split())


def test_imports_point_down_between_the_floors() -> None:
    """In a process of its own: the checker switches all loggers of its process off."""
    code = (
        "from importlinter.cli import lint_imports; exit(lint_imports(no_cache=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("part", sorted(parts() - USES_TORCH - USES_NAPARI))
def test_importing_it_is_light(part: str) -> None:
    assert imported_by(*modules_of(part)) == set()


@pytest.mark.parametrize("part", sorted(parts() & USES_NAPARI))
def test_importing_the_window_imports_no_torch(part: str) -> None:
    assert "torch" not in imported_by(*modules_of(part))


def test_the_check_for_heavy_imports_sees_them() -> None:
    assert imported_by("qtpy") == {"qtpy"}


def test_nothing_below_the_faces_prints() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources()
        if part_of(path) not in FACES
        for line in written_by(path.read_text(encoding="utf-8"))
    }
    assert found == set()


@pytest.mark.parametrize(
    "line", ["print('x')", "pprint(x)", "import sys\nsys.stderr.write('x')"]
)
def test_the_check_for_prints_sees_them(line: str) -> None:
    assert written_by(f"if True:\n    {line.replace(chr(10), chr(10) + '    ')}\n")


def test_files_stay_short() -> None:
    folders = ("src", "tests", "docs", "scripts", "benchmarks")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines())
        for path in paths
    }
    assert lengths
    assert {p: n for p, n in lengths.items() if n > LONGEST_FILE} == {}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout")
def test_nothing_strange_is_kept_beside_the_folders_of_the_project() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    folders = {name.split("/")[0] for name in listed if "/" in name}
    assert folders == {
        *(".ci", ".github", "benchmarks", "constraints"),
        *("docs", "scripts", "src", "tests"),
    }


@pytest.mark.skipif(not MANIFEST.exists(), reason="there is no napari.yaml yet")
def test_the_manifest_is_valid_and_names_what_exists() -> None:
    manifest = npe2.PluginManifest.from_file(MANIFEST)
    assert manifest.name == "napari-inr-tomo"
    manifest.validate_imports()
