"""The commands for photos: `agri diagnose`, and `agri train photos`, `scope` and `corrections`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from agri_llm.errors import BadInput
from ui.commands.console import end, say, start, tell


def diagnose(
    photos: Annotated[list[Path] | None, typer.Argument(help="Photos, each of another plant.", show_default=False)] = None,
    crop: Annotated[str | None, typer.Option(help="Crop on the photos, when you know it.")] = None,
    batch: Annotated[Path | None, typer.Option(metavar="FOLDER", help="All photos of a folder and those below it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a line, and nothing else.")] = False,
) -> None:
    """Say what photos of plants seem to show, one line for each photo."""
    from ui import wiring
    from ui.commands import diagnosing, quiet, rendering

    if (batch is None) == (not photos):
        raise typer.BadParameter("give photos, or --batch FOLDER")
    bad = 0
    with quiet.results() as out:
        start()
        paths = diagnosing.files_in(batch) if batch is not None else photos or []
        for path, found in diagnosing.each(wiring.diagnosis, paths, wiring.crop_of(crop)):
            if isinstance(found, BadInput):
                bad += tell(found)
            else:
                line = diagnosing.as_json(path, found) if as_json else None
                say(rendering.one_line(line) if line else diagnosing.as_text(path, found), out)
    end(bad)


def train_photos(
    config: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A YAML file, like those of training/configs.")],
    data: Annotated[Path | None, typer.Option(help="Folder of labelled photos; over the one in the file.")] = None,
    model: Annotated[str | None, typer.Option(help="Pretrained image classifier, by name or folder; over the file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; the same one again goes on where it stopped.")] = None,
    leave_out: Annotated[str | None, typer.Option(metavar="NAMES", help="Crops or sources to learn nothing from.")] = None,
    from_feedback: Annotated[
        bool,
        typer.Option("--from-feedback", help="Learn from accepted corrections of people too; see `agri train corrections`."),
    ] = False,
) -> None:
    """Train a photo model; a run that was stopped goes on where it was."""
    from training import photo_config
    from ui.commands import corrections, quiet

    said = {"data": data, "model": model, "out": out, "leave_out": leave_out}
    chosen = photo_config.read(config, {name: value for name, value in said.items() if value is not None})
    say(f"Settings: {photo_config.described(chosen)}", sys.stderr)
    with quiet.results() as results:  # the trainer prints its measures
        from training import photos

        if from_feedback:
            start()
            say(corrections.gather(chosen), results)
        say(f"The photo model is in {photos.train(chosen)}.", results)


def train_scope(
    model: Annotated[Path, typer.Argument(help="The folder `model` of a finished run.")],
    runs: Annotated[list[Path], typer.Argument(help="Runs that were trained with --leave-out.")],
    data: Annotated[Path, typer.Option(help="Folder of labelled photos.")],
) -> None:
    """Teach a photo model what plants it does not know, from runs that never saw some crops."""
    from ui.commands import quiet

    with quiet.results() as results:
        from training import photo_scope

        threshold = photo_scope.refit(model, runs, data).threshold
        say(f"The model in {model} takes photos for known from a score of {threshold:.3f} on.", results)


def train_corrections(
    approve: Annotated[list[str] | None, typer.Option(metavar="ID", help="Accept this correction; again for more.")] = None,
    reject: Annotated[list[str] | None, typer.Option(metavar="ID", help="Reject this correction; again for more.")] = None,
    label: Annotated[str, typer.Option(help="Label in place of that of the accepted one, like tomato__late_blight.")] = "",
    photos: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write the photos there, named by id.")] = None,
) -> None:
    """List what people said that photos show, or decide what may be learned from."""
    from ui.commands import corrections, quiet, rendering

    with quiet.results() as out:
        start()
        if approve or reject or label:
            decided = corrections.decide(approve or [], reject or [], label)
            say(f"Decided on {rendering.counted(decided, 'correction')}.", out)
            return
        for line in corrections.listed(photos):
            say(line, out)
