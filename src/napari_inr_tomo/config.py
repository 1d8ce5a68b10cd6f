"""Every setting of a reconstruction: frozen, checked, with its meaning beside it.

The docstring under a field is its tooltip in the window and its line in the docs.
Numbers without a unit in their name are in units of the normalised stack (the stack
divided by its 95th percentile) where they are intensities.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_inr_tomo.errors import UserError

Method = Literal["inr", "sirt", "tv", "fbp"]
PresetName = Literal["preview", "fast", "paper"]
PRESETS: tuple[PresetName, ...] = get_args(PresetName)

SCHEMA = 1
_LARGEST_FILE = 1 << 20

USUAL_RAYS, MOST_RAYS = 512, 8192
"""Pixels per step: on a processor, and at most on a GPU."""
LEAST_STEPS = 6000
"""Steps that a training keeps when its batches are made larger: fewer cost quality."""


class _Settings(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class FieldSettings(_Settings):
    """The network that represents the volume."""

    kind: Literal["hsiren", "siren", "triplane"] = "siren"
    """hsiren: the paper's network (eq. 1-3); siren: the same without sinh in the first
    layer; triplane: three feature planes and a small network."""
    width: int = Field(128, ge=8, le=2048)
    """Neurons per hidden layer."""
    hidden_layers: int = Field(3, ge=1, le=12)
    """Hidden layers after the input layer."""
    omega: float = Field(30.0, gt=0)
    """Frequency factor of the sine layers (omega_0 of the paper)."""
    output: Literal["softplus", "sharp-softplus"] = "sharp-softplus"
    """Non-negative output: softplus(x) as in the paper, or softplus(10 x - 1) / 10,
    which starts near zero instead of at 0.69."""

    def bytes_per_point(self, value_bytes: int = 4) -> int:
        """Return what a step keeps of the hidden layers for one point, in bytes.

        Two values per neuron and sine layer, and a tenth more; measured with bfloat16
        (2 bytes) and float32 (4 bytes).
        """
        return round(2.2 * value_bytes * self.width * (self.hidden_layers + 1))


class LossSettings(_Settings):
    """What the reconstruction minimises (eq. 6)."""

    kind: Literal["smooth_l1", "l2"] = "smooth_l1"
    """smooth_l1 (eq. 8, branch at beta) or squared error."""
    beta: float = Field(0.07, gt=0)
    """Residual at which smooth_l1 turns from quadratic to linear."""
    tv_weight: float | None = Field(None, ge=0)
    """Weight alpha of the total variation (eq. 6); none: from the weight that suits
    the classical TV volume of the same images; 1e-4 where there is no such start."""
    tv_points: int = Field(10_000, ge=0)
    """Points per step at which the total variation is sampled (eq. 9)."""


class ScheduleSettings(_Settings):
    """Epochs, batches, learning rates."""

    epochs: int | None = Field(None, ge=1)
    """Passes over all pixels with rays; none: as many as make ``visits``."""
    visits: float = Field(120, gt=0)
    """How often rays pass a voxel over the whole training: once per tilt and epoch."""
    batch_rays: int | None = Field(None, ge=1)
    """Pixels per step over all processes together; none: 512, and for large stacks on a
    GPU, which takes hardly longer for more, up to 8192 with larger learning rates."""
    learning_rate: float = Field(1e-4, gt=0)
    """Adam step of the network (after the square-root scaling, if any)."""
    hidden_learning_rate: float | None = Field(None, gt=0)
    """Muon step of the hidden matrices; none: Adam for all."""
    warmup_epochs: float = Field(10, ge=0)
    """Epochs over which the learning rate rises from zero."""
    final_fraction: float = Field(0.01, ge=0, le=1)
    """Learning rate at the end of the cosine, as a fraction of its height."""
    first_samples: float = Field(0.04, gt=0, le=1)
    """Samples per ray at the start, as a fraction of those in the end."""
    ramp_epochs: float = Field(10, ge=0)
    """Epochs over which the samples per ray grow to one per voxel."""
    scale_with_ranks: bool = False
    """Multiply learning rates by the square root of the number of processes and the
    batch by the number of processes, as the paper does."""

    def suited(self, pixels: int, on_gpu: bool) -> dict[str, Any]:
        """Return batch and learning rates for a stack of so many ``pixels``.

        Where the batch is left open and a GPU allows a larger one, the rates grow with
        its square root.  The epochs must be known (`ReconstructionConfig.resolved`).
        """
        names = ("batch_rays", "learning_rate", "hidden_learning_rate")
        found: dict[str, Any] = {name: getattr(self, name) for name in names}
        if self.batch_rays is not None:
            return found
        rays = USUAL_RAYS
        steps = (self.epochs or 1) * pixels / rays
        while on_gpu and rays < MOST_RAYS and steps >= 2 * LEAST_STEPS:
            rays, steps = 2 * rays, steps / 2
        for name in names[1:]:
            if found[name] is not None:
                found[name] *= (rays / USUAL_RAYS) ** 0.5
        return found | {"batch_rays": rays}


class PoseSettings(_Settings):
    """Learning the pose of every tilt: z1, z3, dx, dy (the reference stays)."""

    refine: bool = True
    """Learn the poses together with the volume."""
    start_epoch: float = Field(10, ge=0)
    """Epochs before the poses may move."""
    learning_rate_deg: float = Field(5e-2, gt=0)
    """Adam step of the angles z1 and z3, degrees."""
    learning_rate_px: float = Field(5e-2, gt=0)
    """Adam step of the shifts dx and dy, pixels."""
    shared_axis: bool = True
    """Also learn one axis angle common to all tilts (faster for a common error)."""
    frozen: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Tilts whose pose stays as it starts: their numbers in the stack, from 0."""
    coarse: bool = True
    """First find the poses on a coarse classical volume (seconds, far-reaching)."""


class HoldoutSettings(_Settings):
    """Pixels kept out of training, to see when noise is being learnt."""

    fraction: float = Field(0.0, ge=0, lt=1)
    """Share of pixels held out, drawn per pixel with the seed (paper: 0.2)."""
    patience: int = Field(3, ge=1)
    """Epochs without improvement before stopping; the best epoch is kept."""


class InrSettings(_Settings):
    """The implicit neural representation."""

    field: FieldSettings = FieldSettings()
    loss: LossSettings = LossSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    poses: PoseSettings = PoseSettings()
    holdout: HoldoutSettings = HoldoutSettings()
    warm_start: Literal["none", "sirt", "tv"] = "tv"
    """Classical volume the network first learns to reproduce; none: random start."""
    warm_start_iterations: int = Field(100, ge=1)
    """Iterations of that classical volume."""
    warm_start_steps: int = Field(100, ge=0)
    """Steps of learning to reproduce it: the outline, not its artefacts."""
    hull: bool = True
    """Keep voxels empty through which several rays measured nothing but noise; off
    where a weak support or shell gets lost."""


class ClassicSettings(_Settings):
    """SIRT, TV and FBP."""

    iterations: int = Field(100, ge=1)
    """Iterations of SIRT or TV."""
    positivity: bool = True
    """Keep every voxel at zero or above (SIRT and TV)."""
    relaxation: float = Field(1.0, gt=0, lt=2)
    """Step of SIRT."""
    tv_weight: float | None = Field(None, ge=0)
    """Weight of the total variation in TV, in units of the noise found in the images;
    none: the one that predicts held-out pixels best."""
    filter: Literal["ramp", "shepp-logan", "cosine", "hamming", "hann"] = "ramp"
    """Filter of FBP."""


class ComputeSettings(_Settings):
    """Where and with how many processes."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes the GPUs where there are any."""
    processes: int | None = Field(None, ge=1, le=1024)
    """Processes; none: one per GPU, one on a CPU."""
    precision: Literal["auto", "float32", "bfloat16", "float64"] = "auto"
    """Arithmetic of the hidden layers; coordinates and poses stay in float32.  auto:
    bfloat16 on a GPU, and on a CPU where a trial, once a computer, finds it faster."""
    preview_seconds: float = Field(2.0, gt=0)
    """Least time between two live volumes."""
    preview_voxels: int = Field(2_000_000, ge=1000)
    """A live volume has at most this many voxels; larger boxes are shown coarser."""
    checkpoint_seconds: float = Field(60.0, gt=0)
    """Least time between two checkpoints."""
    restarts: int = Field(3, ge=0, le=100)
    """When one of several processes dies the run goes on by itself from its last
    checkpoint, at most so often and only while there are new checkpoints."""


class ReconstructionConfig(_Settings):
    """All settings of one run."""

    schema_version: Literal[1] = 1
    """Version of this file's layout."""
    method: Method = "inr"
    """inr, sirt, tv or fbp."""
    preset: PresetName = "fast"
    """The preset the other settings started from."""
    seed: int = Field(0, ge=0)
    """Seed of everything random: same seed, same machine, same result."""
    depth_px: int | None = Field(None, ge=4)
    """Depth of the box along the beam; none: its extent across the tilt axis."""
    inr: InrSettings = InrSettings()
    classic: ClassicSettings = ClassicSettings()
    compute: ComputeSettings = ComputeSettings()

    @classmethod
    def from_preset(cls, preset: PresetName = "fast", **changes: Any) -> Self:
        """Return the settings of a preset, with top-level ``changes``.

        Raises `UserError` for a preset that does not exist or a bad setting.
        """
        if preset not in PRESETS:
            raise UserError(
                f"There is no preset called {preset!r}",
                f"the presets are {', '.join(PRESETS)}",
                "Choose one of these",
            )
        return cls.parse({"preset": preset, "inr": _PRESETS[preset]} | changes)

    def resolved(self, tilts: int) -> Self:
        """Return the settings for a stack of ``tilts``, with the epochs filled in."""
        schedule = self.inr.schedule
        if schedule.epochs is not None:
            return self
        epochs = max(1, round(schedule.visits / max(tilts, 1)))
        return self.merged({"inr": {"schedule": {"epochs": epochs}}})

    def merged(self, changes: dict[str, Any]) -> Self:
        """Return a copy with nested ``changes``, e.g. ``{"inr": {"poses": {...}}}``."""
        return self.parse(_merge(self.model_dump(), changes))

    def flat(self) -> dict[str, Any]:
        """Return all settings by their names with dots, e.g. ``inr.loss.beta``."""

        def walk(values: dict[str, Any], before: str) -> dict[str, Any]:
            found: dict[str, Any] = {}
            for name, value in values.items():
                path = f"{before}{name}"
                inner = isinstance(value, dict)
                found |= walk(value, f"{path}.") if inner else {path: value}
            return found

        return walk(self.model_dump(), "")

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Check a nested dictionary; raises `UserError` naming every bad setting."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problems = "; ".join(map(_problem, error.errors()))
            raise UserError(
                "The settings are not valid",
                problems,
                "Correct these settings; the settings page of the documentation "
                "lists all of them with their ranges",
            ) from None

    @classmethod
    def load(cls, path: Path, preset: PresetName | None = None) -> Self:
        """Read a .toml (or .json) file; what it leaves out comes from the preset."""
        path = Path(path)
        try:
            if path.stat().st_size > _LARGEST_FILE:
                raise ValueError(f"it is larger than {_LARGEST_FILE} bytes")
            text = path.read_text(encoding="utf-8-sig")  # of Notepad, too
            if path.suffix.lower() == ".json":
                import json

                values = json.loads(text)
            else:
                values = tomllib.loads(text)
            if not isinstance(values, dict):
                raise ValueError("it holds no table of settings")
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(
                f"The settings file {path} cannot be read",
                " ".join(str(error).split()),
                "Give a TOML file as described on the settings page",
            ) from None
        name = preset or values.get("preset", "fast")
        return cls.from_preset(name).merged(values | {"preset": name})


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Return settings named with dots as the nested dictionary `merged` takes."""
    changes: dict[str, Any] = {}
    for path, value in flat.items():
        here = changes
        *outer, last = path.split(".")
        for name in outer:
            here = here.setdefault(name, {})
        here[last] = value
    return changes


def _problem(error: Any) -> str:
    """Return what is wrong with one setting: its name, why, and what was given."""
    name, given = ".".join(map(str, error["loc"])), error["input"]
    if error["type"] == "extra_forbidden":
        return f"{name}: there is no such setting"
    plain = isinstance(given, str | int | float)
    it_is = f" (it is {given!r:.40})" if plain else ""
    return f"{name}: {error['msg']}{it_is}"


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


_AFTER_WARM_START = ScheduleSettings(
    learning_rate=4e-4,
    hidden_learning_rate=8e-4,
    warmup_epochs=0.2,
    final_fraction=0.05,
    first_samples=1.0,
    ramp_epochs=0,
)
# the search before the rays leaves some hundredths of a degree: longer steps, or steps
# while the network still changes much, are further off than that for a while
_FOUND_BEFORE = PoseSettings(
    start_epoch=0.2, learning_rate_deg=0.007, learning_rate_px=0.005
)

_PRESETS: dict[str, InrSettings] = {
    "fast": InrSettings(
        loss=LossSettings(tv_points=500),
        schedule=_AFTER_WARM_START.model_copy(update={"visits": 200.0}),
        poses=_FOUND_BEFORE,
    ),
    # few rays: they have no time to undo what a short lesson has left out
    "preview": InrSettings(
        loss=LossSettings(tv_points=500),
        schedule=_AFTER_WARM_START.model_copy(update={"visits": 20.0}),
        poses=_FOUND_BEFORE,
        warm_start_steps=300,
    ),
    # section 4.1 of the paper, with the ambiguities resolved as docs/method.md says
    "paper": InrSettings(
        field=FieldSettings(
            kind="hsiren", width=512, hidden_layers=4, output="softplus"
        ),
        loss=LossSettings(kind="smooth_l1", beta=0.07, tv_weight=1e-4),
        schedule=ScheduleSettings(
            epochs=150,
            batch_rays=1024,
            learning_rate=8e-6,
            warmup_epochs=10,
            scale_with_ranks=True,
        ),
        poses=PoseSettings(start_epoch=10, shared_axis=False, coarse=False),
        warm_start="none",
    ),
}
