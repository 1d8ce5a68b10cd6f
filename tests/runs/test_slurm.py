"""The sbatch script: valid shell, the right counts, nothing smuggled in."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.runs import slurm_script, submit_slurm

Figure = Callable[[str], None]


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
    assert "#SBATCH --requeue" in head
    assert "#SBATCH --signal=B:USR1@180" in head
    assert "--nnodes=2 --nproc-per-node=4 --max-restarts=0" in text
    assert f"-m napari_inr_tomo.engine {tmp_path} &\n" in text
    assert "srun /opt/py -m torch.distributed.run" in text
    assert f"rm -f {tmp_path}/control/stop {tmp_path}/control/cancel" in text
    last = f"/opt/py -m napari_inr_tomo.cli export {tmp_path} -o {tmp_path}/v.mrc"
    assert text.splitlines()[-1] == last


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_understands_it(tmp_path: Path) -> None:
    text = slurm_script(tmp_path / "a'b$(reboot)")
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    assert "'\"'\"'" in text  # the quote in the name is quoted


def test_the_account_and_the_time_for_saving(tmp_path: Path) -> None:
    text = slurm_script(tmp_path, account="m12", save_before_s=60)
    assert "#SBATCH --account=m12\n" in text
    assert "#SBATCH --signal=B:USR1@60\n" in text


@pytest.mark.parametrize("limit", ["soon", "1h", "00:05:00", "10"])
def test_time_limits_that_cannot_work_are_refused(tmp_path: Path, limit: str) -> None:
    with pytest.raises(UserError, match="time limit"):
        slurm_script(tmp_path, time_limit=limit)
    assert "--time=1-02:00:00" in slurm_script(tmp_path, time_limit="1-02:00:00")


SRUN = """#!/bin/bash
echo started >> "$STORY"
for i in $(seq 100); do
    if [ -e "$RUN/control/cancel" ] && [ "$OBEY" != no ]; then
        [ "$OBEY" = early ] || touch "$RUN/checkpoints/step-2.npz"
        rm "$RUN/control/cancel"; echo saved >> "$STORY"; exit 0
    fi
    sleep 0.05
done
echo finished >> "$STORY"
"""


@pytest.mark.skipif(os.name == "nt", reason="needs bash and signals")
@pytest.mark.scenario(30)
@pytest.mark.parametrize("obey", ["yes", "early", "no"])
def test_at_the_time_limit_the_job_saves_and_goes_back_into_the_queue(
    tmp_path: Path, eventually: Callable[..., None], obey: str, figure: Figure
) -> None:
    """The script is run by bash with stand-ins for srun and scontrol.

    early: the time is up before there is a new checkpoint, as it would be again.
    """
    run, tools, story = tmp_path / "it's", tmp_path / "bin", tmp_path / "story"
    (run / "control").mkdir(parents=True)
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "step-1.npz").touch()
    tools.mkdir()
    scontrol = '#!/bin/bash\n[ "$1" = show ] && echo node0 || echo "$@" >> "$STORY"\n'
    for name, text in (("srun", SRUN), ("scontrol", scontrol)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    (run / "control" / "cancel").touch()  # of an attempt before
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    said = {"PATH": path, "STORY": str(story), "RUN": str(run)}
    said |= {"OBEY": obey}
    script = slurm_script(run, output=tmp_path / "v.mrc", python="echo")
    job = subprocess.Popen(
        ["bash", "-c", script],
        env=os.environ | said | {"SLURM_JOB_ID": "42", "SLURM_JOB_NODELIST": "n"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(story.exists)
    assert not (run / "control" / "cancel").exists()
    os.kill(job.pid, signal.SIGUSR1)  # as --signal=B:USR1 does
    out, problem = job.communicate(timeout=30)
    if obey == "yes":
        assert story.read_text().split("\n")[:3] == ["started", "saved", "requeue 42"]
        assert "export" not in out
        assert (run / "control" / "requeued").exists()
        figure("saved and requeued by the script")
    elif obey == "early":
        assert story.read_text().split() == ["started", "saved"]
        assert "longer --time" in problem
        assert not (run / "control" / "requeued").exists()
    else:  # they came to their end before they looked
        assert story.read_text().split() == ["started", "finished"]
        assert "export" in out
        assert not (run / "control" / "requeued").exists()
    assert job.returncode == (1 if obey == "early" else 0)


@pytest.mark.skipif(os.name == "nt", reason="needs bash and signals")
def test_where_the_queue_refuses_the_run_is_not_said_to_wait(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    run, tools, story = tmp_path / "run", tmp_path / "bin", tmp_path / "story"
    (run / "control").mkdir(parents=True)
    (run / "checkpoints").mkdir()
    tools.mkdir()
    scontrol = """#!/bin/bash
[ "$1" = show ] && echo node0 && exit
[ -e "$RUN/control/requeued" ] && echo there >> "$STORY"
exit 1
"""
    for name, text in (("srun", SRUN), ("scontrol", scontrol)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    said = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "STORY": str(story)}
    said |= {"RUN": str(run), "OBEY": "yes"}
    said |= {"SLURM_JOB_ID": "42", "SLURM_JOB_NODELIST": "n"}
    job = subprocess.Popen(["bash", "-c", slurm_script(run)], env=os.environ | said)
    eventually(story.exists)
    os.kill(job.pid, signal.SIGUSR1)
    job.wait(timeout=30)
    assert story.read_text().split() == ["started", "saved", "there"]
    assert not (run / "control" / "requeued").exists()


@pytest.mark.skipif(os.name == "nt", reason="needs bash")
@pytest.mark.scenario(2)
@pytest.mark.parametrize("may", [True, False])
def test_after_a_lost_process_the_job_goes_back_into_the_queue(
    tmp_path: Path, may: bool
) -> None:
    """Where `restarts`, for which a stand-in answers, says that the run may go on."""
    tools, story = tmp_path / "bin", tmp_path / "story"
    tools.mkdir()
    (tmp_path / "control").mkdir()
    (tmp_path / "checkpoints").mkdir()
    scontrol = '#!/bin/bash\n[ "$1" = show ] && echo node0 || echo "$@" >> "$STORY"\n'
    asked = f'#!/bin/bash\necho "$@" >> "$STORY"\nexit {0 if may else 1}\n'
    tried = "#!/bin/bash\nexit 9\n"
    for name, text in (("srun", tried), ("scontrol", scontrol), ("py", asked)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    said = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "STORY": str(story)}
    said |= {"SLURM_JOB_ID": "42", "SLURM_JOB_NODELIST": "n"}
    script = slurm_script(tmp_path, output=tmp_path / "v.mrc", python="py")
    job = subprocess.run(["bash", "-c", script], env=os.environ | said, check=False)
    lines = story.read_text().splitlines()
    why = "the processes of job 42 ended with status 9"
    assert lines[0] == f"-m napari_inr_tomo.restarts {tmp_path} {why}"
    assert lines[1:] == (["requeue 42"] if may else [])
    assert (tmp_path / "control" / "requeued").exists() == may
    assert job.returncode == (0 if may else 9)


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
