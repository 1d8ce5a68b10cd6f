"""All commands of ``inr-tomo``; nothing heavy is imported before one runs."""

from __future__ import annotations

import typer

from napari_inr_tomo.cli import (
    acquire,
    estimate,
    passes,
    preprocess,
    queue,
    reconstruct,
    runs,
    series,
    trials,
)

app = typer.Typer(
    name="inr-tomo",
    help="Electron tomography: from the raw tilt series to the volume.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Show the version."),
) -> None:
    """Electron tomography: from the raw tilt series to the volume."""
    if version:
        from napari_inr_tomo import __version__

        typer.echo(f"inr-tomo {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command()(series.info)
app.command()(preprocess.preprocess)
app.command()(passes.merge)
app.command()(passes.drift)
app.command()(estimate.estimate)
app.command()(reconstruct.reconstruct)
app.command()(reconstruct.rerun)
app.command()(queue.queue)
app.command()(acquire.acquire)
app.command()(runs.resume)
app.command("list")(runs.list_runs)
app.command()(runs.follow)
app.command()(runs.stop)
app.command()(runs.export)
app.command()(trials.validate)
app.command()(reconstruct.submit)
app.command()(trials.simulate)
app.command()(trials.compare)
app.command()(trials.demo)
