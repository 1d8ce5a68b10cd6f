"""The same workers under SLURM: one readable sbatch script in the run folder."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from napari_inr_tomo import atomic, restarts
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.layout import CONTROLS, RunPaths
from napari_inr_tomo.runs.launching import ENGINE
from napari_inr_tomo.runs.status import SUBMITTED

_SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=inr-tomo
#SBATCH --nodes={nodes}
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node={gpus}
#SBATCH --cpus-per-task={cpus}
#SBATCH --time={time}
#SBATCH --output={log}
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@{before}
#SBATCH --requeue
{options}
# One task per node starts {gpus} workers there; all of them work in the run folder,
# which must be on a disk that every node sees.  {before} s before the time limit the
# workers are asked to save and end, and the job goes back into the queue; there, and
# after a node or a process has failed, it goes on from the last checkpoint.  Network
# settings of the site (NCCL_SOCKET_IFNAME ...) and module loads belong here:

export PYTHONSAFEPATH=1
export {watched}=1  # what follows says what becomes of the run if a process dies
rm -f {requests}  # asked of an earlier attempt
saved_before=$(ls {checkpoints})
time_is_up=no
trap 'time_is_up=yes; touch {cancel} {sign_quoted}' USR1
back_into_the_queue() {{  # the sign tells who follows the run that it will go on
    touch {sign}
    scontrol requeue "$SLURM_JOB_ID" || rm -f {sign}
    exit
}}
head_node=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

srun {python} -m torch.distributed.run \\
    --nnodes={nodes} --nproc-per-node={gpus} --max-restarts=0 \\
    --rdzv-backend=c10d --rdzv-id="$SLURM_JOB_ID" \\
    --rdzv-endpoint="$head_node:$((20000 + SLURM_JOB_ID % 20000))" \\
    -m {module} {folder} &
workers=$!
wait "$workers"
status=$?
while kill -0 "$workers" 2>/dev/null; do  # a signal ended the wait, not the workers
    wait "$workers"
    status=$?
done
if [ "$time_is_up" = yes ] && [ ! -e {request} ]; then  # they obeyed
    [ "$(ls {checkpoints})" = "$saved_before" ] || back_into_the_queue
    rm -f {sign}  # it would begin at the same place every time
    echo "The job is not put back into the queue: its time was up before there was a" \
        "new checkpoint. Submit the run again with a longer --time." >&2
    exit 1
fi
rm -f {sign}
if [ "$status" -ne 0 ] && {python} -m {restarts} {folder} \\
    "the processes of job $SLURM_JOB_ID ended with status $status"; then
    back_into_the_queue  # a process died, and the run may go on
fi
[ "$status" -eq 0 ] || exit "$status"
{after}"""


def slurm_script(
    folder: Path,
    nodes: int = 1,
    gpus_per_node: int = 4,
    time_limit: str = "04:00:00",
    options: Sequence[str] = (),
    output: Path | None = None,
    python: str = sys.executable,
    account: str | None = None,
    save_before_s: int = 180,
) -> str:
    """Return an sbatch script for a run folder.

    time_limit: as sbatch takes it.  account: who pays, where the site asks for that.
    save_before_s: so long before the time limit the workers save and end.
    options: further sbatch options, e.g. ``--partition=gpu``, one line each.
    output: volume to write when the workers are done.
    """
    paths = RunPaths(folder)
    options = (*options, *([f"--account={account}"] if account else []))
    for option in options:
        if not option.startswith("-") or "\n" in option:
            raise UserError(
                f"The SLURM option {option!r} cannot be used",
                "an option starts with a dash",
                "Write it as sbatch takes it, e.g. --partition=gpu",
            )
    if any(character.isspace() for character in str(paths.folder)):
        raise UserError(
            f"The run folder {paths.folder} cannot be used under SLURM",
            "its path has a blank in it, which an #SBATCH line cannot hold",
            "Choose a run folder without blanks in its path",
        )
    _check_time(time_limit, save_before_s)
    after = ""
    if output is not None:
        export = ["-m", "napari_inr_tomo.cli", "export", str(paths.folder)]
        words = [python, *export, "-o", str(Path(output).absolute())]
        after = f"\n{shlex.join(words)}\n"
    return _SCRIPT.format(
        nodes=nodes,
        gpus=gpus_per_node,
        cpus=8 * gpus_per_node,
        time=time_limit,
        log=paths.logs / "slurm-%j.log",
        options="".join(f"#SBATCH {option}\n" for option in options),
        python=shlex.quote(python),
        module=ENGINE,
        folder=shlex.quote(str(paths.folder)),
        requests=shlex.join(str(paths.control(name)) for name in CONTROLS),
        before=save_before_s,
        cancel=_inside_quotes(paths.control("cancel")),
        sign=shlex.quote(str(restarts.requeued(paths))),
        sign_quoted=_inside_quotes(restarts.requeued(paths)),
        request=shlex.quote(str(paths.control("cancel"))),
        checkpoints=shlex.quote(str(paths.checkpoints)),
        after=after,
        watched=restarts.WATCHED_VARIABLE,
        restarts=restarts.__name__,
    )


def _check_time(limit: str, before_s: int) -> None:
    """Refuse a time limit that sbatch would not take or that leaves no time to work."""
    match = _TIME.fullmatch(limit)
    if match is None:
        raise UserError(
            f"The time limit {limit!r} is not understood",
            "it does not say hours, minutes and seconds",
            "Write hours:minutes:seconds, e.g. 04:00:00, or days-hours:minutes:seconds",
        )
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    whole = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if whole <= 2 * before_s:
        raise UserError(
            f"The time limit {limit} is too short",
            f"{before_s} s of it are kept for saving",
            "Ask for more time, or give less for saving",
        )


_TIME = re.compile(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)")


def _inside_quotes(path: Path) -> str:
    """Return a path as one word of a command within single quotes."""
    return shlex.quote(str(path)).replace("'", "'\"'\"'")


def find_sbatch() -> str:
    """Return the path of sbatch; raises `UserError` where there is none."""
    tool = shutil.which("sbatch")
    if tool is None:
        raise UserError(
            "The run cannot be submitted",
            "there is no sbatch command on this computer",
            "Submit from a login node of the cluster, or look at the script with "
            "--dry-run",
        )
    return tool


def submit_slurm(folder: Path, script: str) -> str:
    """Write the script into the run folder, give it to sbatch, return its answer."""
    tool = find_sbatch()
    restarts.forget(RunPaths(folder))
    path = RunPaths(folder).folder / SUBMITTED
    atomic.write_bytes(path, script.encode())
    answer = subprocess.run(
        [tool, str(path)], capture_output=True, text=True, check=False
    )
    if answer.returncode:
        raise UserError(
            "SLURM refused the run",
            " ".join(answer.stderr.split()) or f"sbatch ended with {answer.returncode}",
            "Give it what it asks for, e.g. with --time, --account or --sbatch, and "
            "submit again",
        )
    return answer.stdout.strip()
