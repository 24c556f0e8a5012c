"""The `agri data` commands about preferences: make them from what people said, make them again, take a person out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from ui.commands.console import say

if TYPE_CHECKING:
    from agri_llm.judgements import Material
    from training.preferences import Snapshot

Folder = Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of preference data.")]
Out = Annotated[Path, typer.Argument(file_okay=False, help="A new folder.")]


def preferences(
    out: Out,
    source: Annotated[Path, typer.Option("--from", exists=True, dir_okay=False, help="File with what people said.")],
    seed: Annotated[int, typer.Option(help="Decides what is left out by chance, and the split.")] = 0,
) -> None:
    """Make preference data from what people said: a folder that is never changed and tells what was left out."""
    from training import material_file
    from training.pair_cleaning import Rules
    from ui import wiring
    from ui.commands import quiet

    with quiet.results() as results:
        from training.preferences import build

        made = build(material_file.read(source), out, Rules(seed=seed, salt=wiring.visitor_secret()))
        _told(made, results)


def replay(folder: Folder, out: Out) -> None:
    """Make preference data again from what they were made from, and compare: the same bytes must come out."""
    from training import preferences as data
    from ui.commands import quiet

    with quiet.results() as results:
        made = data.again(data.read(folder), out)
        say(f"{folder} made again is the same: {made.hash}.", results)


def remove_rater(
    folder: Folder,
    rater: Annotated[str, typer.Argument(help="Account id or visitor key of the person, or the hash in the manifest.")],
    out: Out,
) -> None:
    """Make preference data again without everything that one person said, and say what that changed."""
    from training import material_file
    from training import preferences as data
    from ui import wiring
    from ui.commands import quiet

    with quiet.results() as results:
        before = data.read(folder)
        known = rater if rater in before.manifest["raters"] else material_file.rater_hash(rater, wiring.visitor_secret())
        made = data.without(before, known, out)
        _told(made, results)
        for part in data.PARTS:
            was, now = (sum(snapshot.rows(part).values()) for snapshot in (before, made))
            say(f"{part}: {was} before, {now} without {known}", results)


def examples(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="File to write.")],
    ratings: Annotated[int, typer.Option(min=1, help="How many comparisons.")] = 400,
    noise: Annotated[float, typer.Option(min=0, max=0.5, help="Share said the wrong way round.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Another one gives other ratings.")] = 0,
) -> None:
    """Write example ratings, made by simulated experts on answers about the shipped sheets: to try retraining with."""
    from knowledge_base import shipped
    from training import material_file, simulated
    from training.library import Library

    library = Library.of(shipped.sheets(), ("en", "zh"))
    made: Material = simulated.material(library, simulated.Simulation(ratings=ratings, noise=noise, seed=seed))
    material_file.write(file, made)
    say(
        f"{len(made.comparisons)} comparisons, {len(made.reviews)} reviews and {len(made.votes)} thumbs of simulated people "
        f"are in {file}.",
        sys.stdout,
    )


def _told(made: Snapshot, results: TextIO) -> None:
    from training.preferences import summary

    for line in summary(made):
        say(line, results)
    say(f"The preference data are in {made.folder}: {made.hash}.", results)
