"""The run folder: which file is called what, and what ``run.json`` says.

The engine writes a run folder and everything else reads it; both use this module, so
there is one definition of the layout (schema 1).  See docs/architecture.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_inr_tomo import __version__, atomic
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.events import stays_inside
from napari_inr_tomo.plain import only_plain
from napari_inr_tomo.provenance import now, versions
from napari_inr_tomo.types import BoolArray, FloatArray, IntArray, Poses, Step

SCHEMA = 1
"""Version of the run folder's layout; a newer one is refused, never guessed at."""

LARGEST_JSON = 1 << 26
"""Bytes of a ``run.json`` that are read; thousands of tilts take one of them."""

_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
)
"""What JSON from a stranger may provoke."""

DEVICE_VARIABLE = "INR_TOMO_DEVICE"
"""Environment variable by which a launch overrides the device in the settings."""

Control = Literal["stop", "cancel", "save-now"]
CONTROLS: tuple[str, ...] = get_args(Control)


@dataclass(frozen=True)
class RunPaths:
    """The paths of one run folder; nothing here touches the disk."""

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder).absolute())

    @property
    def run_json(self) -> Path:
        """Settings, start poses, history, versions: see `RunSpec`."""
        return self.folder / "run.json"

    @property
    def input(self) -> Path:
        """(tilt, y, x) float32 .npy: the used views only."""
        return self.folder / "input.npy"

    @property
    def valid(self) -> Path:
        """(tilt, y, x) bool .npy; absent where every pixel counts."""
        return self.folder / "valid.npy"

    @property
    def events(self) -> Path:
        """Append-only JSON lines, see `napari_inr_tomo.events`."""
        return self.folder / "events.jsonl"

    @property
    def lock(self) -> Path:
        """Held by the worker of rank 0 for its whole life, see `FolderLock`."""
        return self.folder / "lock"

    @property
    def previews(self) -> Path:
        """Folder of the latest live volume and poses."""
        return self.folder / "previews"

    @property
    def preview_volume(self) -> Path:
        """(z, y, x) float32 .npy, replaced atomically."""
        return self.previews / "volume.npy"

    @property
    def preview_poses(self) -> Path:
        """The latest poses, poses.csv format, all tilts of the original stack."""
        return self.previews / "poses.csv"

    @property
    def preview_slices(self) -> Path:
        """The slices last asked for, see `napari_inr_tomo.planes`."""
        return self.previews / "slices.npz"

    @property
    def controls(self) -> Path:
        """Folder of the requests."""
        return self.folder / "control"

    def control(self, name: str) -> Path:
        """Return the request file ``stop``, ``cancel`` or ``save-now``."""
        if name not in CONTROLS:
            raise ValueError(f"{name!r} is none of {CONTROLS}")
        return self.controls / name

    @property
    def slice_request(self) -> Path:
        """The slices asked for, see `napari_inr_tomo.planes`; gone once it is seen."""
        return self.controls / "slices.json"

    @property
    def obeyed(self) -> Path:
        """A request to stop or cancel that the workers have seen."""
        return self.controls / "obeyed"

    @property
    def restarts(self) -> Path:
        """How often the run has started again by itself, see `restarts`."""
        return self.logs / "restarts.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.folder / "checkpoints"

    @property
    def start(self) -> Path:
        """Folder with the checkpoint of the earlier run this one goes on from."""
        return self.folder / "start"

    @property
    def logs(self) -> Path:
        """Folder of the logs."""
        return self.folder / "logs"

    @property
    def launcher_log(self) -> Path:
        """Output of the launcher and of all ranks."""
        return self.logs / "launcher.log"

    @property
    def launcher(self) -> Path:
        """JSON: pid, host and start of the last launch."""
        return self.logs / "launcher.json"

    @property
    def result(self) -> Path:
        """Folder of the result; trust it only where `complete` exists."""
        return self.folder / "result"

    @property
    def result_volume(self) -> Path:
        """The volume, (z, y, x) float32 MRC."""
        return self.result / "volume.mrc"

    @property
    def result_poses(self) -> Path:
        """The poses, one row per tilt of the original stack."""
        return self.result / "poses.csv"

    @property
    def record(self) -> Path:
        """What ``run.json`` says and how the run went; enough to run it again."""
        return self.result / "record.json"

    @property
    def complete(self) -> Path:
        """Written last: JSON with the SHA-256 of the other files of the result."""
        return self.result / "COMPLETE"

    def make_folders(self) -> None:
        """Create the run folder's sub-folders."""
        folders = (self.previews, self.controls, self.checkpoints, self.logs)
        for folder in (*folders, self.result):
            folder.mkdir(parents=True, exist_ok=True)

    def inside(self, relative: str) -> Path:
        """Return the path a file of the run names, if it stays inside the folder.

        Raises `UserError` for an absolute path, ``..``, a drive letter, or a link
        that leads outside.
        """
        if stays_inside(relative):
            path = self.folder / relative.replace("\\", "/")
            if path.resolve().is_relative_to(self.folder.resolve()):
                return path
        raise UserError(
            "A file of this run is refused",
            f"it points outside the run folder: {relative[:200]!r}",
            "Use run folders only as this program wrote them",
        )

    def check_kinds(self) -> None:
        """Raise `UserError` unless all of ours are plain files and folders."""
        only_plain(self.folder, _FILES, _FOLDERS)


_FOLDERS = ("previews", "control", "checkpoints", "start", "logs", "result")
_FILES = ("run.json", "input.npy", "valid.npy", "events.jsonl", "lock")


def _no_versions() -> dict[str, str]:
    return {}


@dataclass(frozen=True, eq=False)
class RunSpec:
    """What is run: the content of ``run.json``, checked.

    config: all settings.
    shape: (tilt, y, x) of ``input.npy``, the used views only.
    angles_deg: (tilt,), degrees; poses: start poses; both of the used views.
    tilts: (tilt,) index of each used view in the original stack.
    original_angles_deg, original_used, original_poses: the same of the whole stack,
    in stack order; poses.csv lists all of them.
    original_group: pass of each tilt of the whole stack, or None where there is one.
    input_sha256: digest of ``input.npy``; valid_sha256: of ``valid.npy`` or None.
    pixel_size_nm: size of a pixel in nm, or None where unknown.
    started_from: name of the run whose network this one goes on with, or empty.
    """

    config: ReconstructionConfig
    shape: tuple[int, int, int]
    angles_deg: FloatArray
    poses: Poses
    tilts: NDArray[np.int64]
    original_angles_deg: FloatArray
    original_used: BoolArray
    original_poses: Poses
    input_sha256: str
    valid_sha256: str | None = None
    pixel_size_nm: float | None = None
    name: str = "tilt series"
    angle_source: str = "given"
    source_name: str = ""
    started_from: str = ""
    history: tuple[Step, ...] = ()
    created: str = ""
    versions: dict[str, str] = field(default_factory=_no_versions)
    original_group: IntArray | None = None

    @property
    def groups(self) -> IntArray:
        """The pass of each tilt of the whole stack: all 0 where there is one."""
        if self.original_group is None:
            return np.zeros(len(self.original_angles_deg), np.int64)
        return self.original_group

    def restore(self, poses: Poses) -> Poses:
        """Return poses of the original stack: ``poses`` of the used views put back.

        Excluded views keep their start poses.
        """
        whole = np.array(self.original_poses.as_array())
        whole[self.tilts] = poses.as_array()
        return Poses.from_array(whole)

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``run.json``."""
        group = self.original_group
        passes = {} if group is None else {"group": group.tolist()}
        return {
            "schema": SCHEMA,
            "created": self.created or now(),
            "name": self.name,
            "config": self.config.model_dump(mode="json"),
            "input": {
                "sha256": self.input_sha256,
                "valid_sha256": self.valid_sha256,
                "shape": list(self.shape),
                "pixel_size_nm": self.pixel_size_nm,
                "angles_deg": self.angles_deg.tolist(),
                "poses": self.poses.as_array().tolist(),
                "tilts": self.tilts.tolist(),
                "original": {
                    "angles_deg": self.original_angles_deg.tolist(),
                    "used": self.original_used.tolist(),
                    "poses": self.original_poses.as_array().tolist(),
                    **passes,
                },
                "angle_source": self.angle_source,
                "source_name": self.source_name,
                "started_from": self.started_from,
            },
            "history": [step.to_json() for step in self.history],
            "versions": self.versions or versions(),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> RunSpec:
        """Build it; raises KeyError, TypeError, ValueError or UserError."""
        data, original = value["input"], value["input"]["original"]
        tilts, rows, columns = (int(n) for n in data["shape"])
        spec = cls(
            config=ReconstructionConfig.parse(value["config"]),
            shape=(tilts, rows, columns),
            angles_deg=np.array(data["angles_deg"], np.float64),
            poses=Poses.from_array(data["poses"]),
            tilts=np.array(data["tilts"], np.int64),
            original_angles_deg=np.array(original["angles_deg"], np.float64),
            original_used=np.array(original["used"], bool),
            original_poses=Poses.from_array(original["poses"]),
            input_sha256=str(data["sha256"]),
            valid_sha256=data.get("valid_sha256"),
            pixel_size_nm=data.get("pixel_size_nm"),
            name=str(value["name"]),
            angle_source=str(data.get("angle_source", "given")),
            source_name=str(data.get("source_name", "")),
            started_from=str(data.get("started_from", "")),
            history=tuple(Step.from_json(step) for step in value["history"]),
            created=str(value["created"]),
            versions=dict(value.get("versions", {})),
            original_group=(
                np.array(original["group"], np.int64) if "group" in original else None
            ),
        )
        spec._check_counts()
        return spec

    def _check_counts(self) -> None:
        used, whole = len(self.tilts), len(self.original_angles_deg)
        counts = {self.shape[0], len(self.angles_deg), len(self.poses), used}
        if counts != {used}:
            raise ValueError(f"it speaks of {sorted(counts)} used tilts at once")
        lists = (self.original_used, self.original_poses, self.groups)
        if {len(each) for each in lists} != {whole}:
            raise ValueError("the lists of the original stack differ in length")
        if not np.array_equal(np.flatnonzero(self.original_used), self.tilts):
            raise ValueError("the used tilts are not those of the original stack")


def write_run(folder: Path | RunPaths, spec: RunSpec) -> None:
    """Write ``run.json`` atomically."""
    paths = folder if isinstance(folder, RunPaths) else RunPaths(folder)
    atomic.write_json(paths.run_json, spec.to_json())


def read_run(folder: Path | RunPaths) -> RunSpec:
    """Read ``run.json`` of a run folder; raises `UserError`."""
    paths = folder if isinstance(folder, RunPaths) else RunPaths(folder)
    if not paths.run_json.is_file():
        raise UserError(
            f"{paths.folder} is not a run folder",
            "it has no run.json",
            "Give the folder a reconstruction was started in",
        )
    paths.check_kinds()
    return read_spec(paths.run_json)


def read_spec(path: Path) -> RunSpec:
    """Read ``run.json`` or a ``record.json``; raises `UserError`.

    Refuses a newer schema and anything missing or contradictory.
    """
    try:
        if Path(path).stat().st_size > LARGEST_JSON:
            raise ValueError(f"it is larger than {LARGEST_JSON} bytes")
        value = json.loads(Path(path).read_text(encoding="utf-8"))
        schema = value["schema"]
        if isinstance(schema, int) and schema > SCHEMA:
            made_by = value.get("versions", {}).get("napari_inr_tomo", "unknown")
            raise UserError(
                f"{path} is too new for this program",
                f"it has schema {schema}, written by version {made_by}; version "
                f"{__version__} reads up to schema {SCHEMA}",
                "Update napari-inr-tomo",
            )
        if schema != SCHEMA:
            raise ValueError(f"its schema is {schema!r}")
        return RunSpec.from_json(value)
    except KeyError as error:
        why = f"it has no entry {error}"
    except UserError:
        raise
    except _UNREADABLE as error:
        why = " ".join(str(error).split()) or type(error).__name__
    raise UserError(
        f"{path} cannot be read", why, "Use run folders only as this program wrote them"
    ) from None


def write_record(paths: RunPaths, spec: RunSpec, outcome: dict[str, Any]) -> None:
    """Write ``result/record.json``: ``run.json`` and how the run went (``outcome``)."""
    atomic.write_json(paths.record, spec.to_json() | {"outcome": outcome})


def write_complete(paths: RunPaths) -> None:
    """Write ``result/COMPLETE``, the last act of a run, with the others' SHA-256."""
    files = (paths.result_volume, paths.result_poses, paths.record)
    digests = {path.name: atomic.sha256(path) for path in files}
    atomic.write_json(paths.complete, {"sha256": digests, "finished": now()})
