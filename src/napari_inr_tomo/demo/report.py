"""The report of the demo: how near the reconstructions are to the known truth."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from napari_inr_tomo import metrics
from napari_inr_tomo.simulate import Simulation
from napari_inr_tomo.types import FloatArray, Poses, TiltSeries, Volume


class Report:
    """Collects figures, says them as they come, writes report.json and report.md."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.began = time.monotonic()
        self.values: dict[str, Any] = {"volumes": {}, "poses": {}}

    def say(self, text: str) -> None:
        """Print a line with the time since the start."""
        print(f"[{time.monotonic() - self.began:5.0f} s] {text}", flush=True)

    def poses(
        self,
        when: str,
        found: TiltSeries | tuple[FloatArray, Poses],
        simulation: Simulation,
    ) -> None:
        """Note how far poses are from the truth, the gauge aligned."""
        if isinstance(found, TiltSeries):
            found = (found.angles_deg, found.start_poses)
        errors = metrics.pose_errors(found[0], found[1], simulation.truth_poses)
        self.values["poses"][when] = errors
        self.say(
            f"poses {when}: axis {errors['axis_deg']:+.2f} degrees, "
            f"shifts {errors['shift_px']:.2f} px rms from the truth"
        )

    def volume(self, name: str, volume: Volume, simulation: Simulation) -> None:
        """Note how near a volume is to the truth, moved onto it first."""
        figures = metrics.compare(volume.data, simulation.truth.data, register=True)
        self.values["volumes"][name] = figures
        self.say(
            f"{name}: SSIM {figures['ssim']:.3f} "
            f"(within the specimen {figures['ssim_in_support']:.3f}), "
            f"PSNR {figures['psnr_db']:.1f} dB"
        )

    def write(self) -> None:
        """Write report.json and report.md."""
        self.values["seconds"] = round(time.monotonic() - self.began, 1)
        text = json.dumps(self.values, indent=2)
        (self.folder / "report.json").write_text(text + "\n", encoding="utf-8")
        (self.folder / "report.md").write_text(self._markdown(), encoding="utf-8")
        self.say(f"report: {self.folder / 'report.md'}")

    def _markdown(self) -> str:
        lines = [
            "# Demo: simulated sea-mine, misaligned, noisy, +-60 degrees",
            "",
            "| volume | SSIM | SSIM within the specimen | PSNR (dB) |",
            "| --- | --- | --- | --- |",
        ]
        for name, v in self.values["volumes"].items():
            row = f"{v['ssim']:.3f} | {v['ssim_in_support']:.3f} | {v['psnr_db']:.1f}"
            lines.append(f"| {name} | {row} |")
        lines += [
            "",
            "| poses | axis error (degrees) | shift error (px rms) |",
            "| --- | --- | --- |",
        ]
        for when, e in self.values["poses"].items():
            lines.append(f"| {when} | {e['axis_deg']:+.2f} | {e['shift_px']:.2f} |")
        lines += ["", f"Took {self.values['seconds']:.0f} s."]
        return "\n".join(lines) + "\n"
