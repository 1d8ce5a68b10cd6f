"""The sbatch script: valid shell, the right counts, nothing smuggled in."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.runs import slurm_script, submit_slurm


def test_the_script_says_what_was_asked(tmp_path: Path) -> None:
    text = slurm_script(
        tmp_path,
        2,
        4,
        "01:30:00",
        ["--partition=gpu", "-A m123"],
        output=tmp_path / "v.mrc",
        python="/opt/py",
    )
    head = [line for line in text.splitlines() if line.startswith("#SBATCH")]
    assert "#SBATCH --nodes=2" in head
    assert "#SBATCH --gpus-per-node=4" in head
    assert "#SBATCH --time=01:30:00" in head
    assert head[-2:] == ["#SBATCH --partition=gpu", "#SBATCH -A m123"]
    assert "--nnodes=2 --nproc-per-node=4 --max-restarts=0" in text
    assert f"-m napari_inr_tomo.engine {tmp_path}\n" in text
    assert "srun /opt/py -m torch.distributed.run" in text
    assert f"rm -f {tmp_path}/control/stop {tmp_path}/control/cancel" in text
    last = f"/opt/py -m napari_inr_tomo.cli export {tmp_path} -o {tmp_path}/v.mrc"
    assert text.splitlines()[-1] == last


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_understands_it(tmp_path: Path) -> None:
    text = slurm_script(tmp_path / "a'b$(reboot)")
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    assert "'\"'\"'" in text  # the quote in the name is quoted


@pytest.mark.parametrize("option", ["gpu", "--x=1\nreboot"])
def test_odd_options_are_refused(tmp_path: Path, option: str) -> None:
    with pytest.raises(UserError, match="SLURM option"):
        slurm_script(tmp_path, options=[option])


def test_a_blank_in_the_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="blank"):
        slurm_script(tmp_path / "my run")


def test_no_sbatch_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no sbatch"):
        submit_slurm(tmp_path, "")


def test_the_script_is_given_to_sbatch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "sbatch"
    tool.write_text("#!/bin/sh\necho Submitted batch job 42: $(/bin/cat $1)\n")
    tool.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(tool))
    assert submit_slurm(tmp_path, "text") == "Submitted batch job 42: text"
    tool.write_text("#!/bin/sh\necho no such partition >&2\nexit 1\n")
    with pytest.raises(UserError, match="no such partition"):
        submit_slurm(tmp_path, "text")
