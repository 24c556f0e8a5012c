"""The `agri data` commands: build a data set to train on, check one, show its card."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agri_llm.errors import BadInput

if TYPE_CHECKING:
    from training.data_config import DataConfig
    from training.written import Reply

app = typer.Typer(help="Build and check the data that models learn from.", no_args_is_help=True)
WRITTEN = 3  # questions for each passage, as training/configs/data.yaml has it
Folder = Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of a data set.")]


@app.command("build")
def build(
    config: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A YAML file, like training/configs/data.yaml.")],
    out: Annotated[Path, typer.Option(help="Folder of the data set; the same one again goes on where it stopped.")],
    data: Annotated[Path | None, typer.Option(help="Folder that stands for {data} in the file.")] = None,
    add: Annotated[list[str] | None, typer.Option(metavar="SORT=PATH", help="A further source, like csv=pairs.csv.")] = None,
    evaluation: Annotated[list[Path] | None, typer.Option(help="A further file that no row may repeat.")] = None,
    corrections: Annotated[Path | None, typer.Option(help="JSON lines with approved corrections of answers.")] = None,
    writer: Annotated[bool, typer.Option("--writer", help="Let the model at AGRI_ENDPOINT_URL write questions too.")] = False,
) -> None:
    """Build a data set; a build that was stopped goes on where it was."""
    from training import data_config
    from ui.commands import quiet

    added = [*(add or [])] + ([f"corrections={corrections}"] if corrections else [])
    chosen = _with(data_config.read(config, data), added, evaluation or [])
    _tell(f"Settings: {data_config.described(chosen)}")
    with quiet.results() as results:
        from training.dataset import Build

        reply = _reply() if writer else None
        with _full_disk_told(out):
            manifest = Build(config=chosen, out=out, tell=_tell, reply=reply).run()
        counts = ", ".join(f"{number} {split}" for split, number in manifest["rows"].items())
        results.write(f"The data set is in {out}: {counts}." + "\n")


@app.command("check")
def check(folder: Folder) -> None:
    """Look at every file and row of a data set again, and say what is wrong."""
    from training import data_check
    from ui.commands import quiet

    with quiet.results() as results:
        found = data_check.check(folder)
        counts = ", ".join(f"{number} {split}" for split, number in found.rows.items())
        results.write(" ".join([f"Every row is as it should be: {counts}.", *found.notes]) + "\n")


@app.command("card")
def card(folder: Folder) -> None:
    """Show what is in a data set: counts by kind, crop, language and source, and what was left out."""
    from training import dataset

    dataset.manifest_of(folder)
    sys.stdout.write((folder / dataset.CARD).read_text(encoding="utf-8"))


@contextmanager
def _full_disk_told(out: Path) -> Iterator[None]:
    """Say which disk is full, and that nothing is lost."""
    from training.run_files import FULL

    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise BadInput(
            f"the disk of {out} is full", "its rows could not be written", "free space; the same command goes on from there"
        ) from error


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _with(config: DataConfig, added: list[str], evaluation: list[Path]) -> DataConfig:
    """Put what was named on the command line beside what stands in the file."""
    from training.data_config import SORTS, Source

    sources = list(config.sources)
    for each in added:
        sort, _, path = each.partition("=")
        if sort not in SORTS or not path:
            raise typer.BadParameter(f"{each!r} is not SORT=PATH; sorts are {', '.join(SORTS)}")
        taken = {source.name for source in sources}
        name = next(
            name for at in range(1, len(sources) + 2) if (name := f"{Path(path).stem}{at if at > 1 else ''}") not in taken
        )
        texts = sort == "documents"  # they are read on too, and --writer asks about them
        sources.append(Source(name=name, sort=sort, path=path, pretraining=texts, written=WRITTEN if texts else 0))
    files = (*config.evaluation, *(str(path) for path in evaluation))
    return replace(config, sources=tuple(sources), evaluation=files)


def _reply() -> Reply:
    """Return what asks the model on the server that the settings name."""
    from agri_llm.language.endpoint import EndpointModel
    from ui import wiring

    chosen = wiring.settings()
    model = EndpointModel(
        chosen.endpoint_url,
        chosen.model,
        chosen.endpoint_key.get_secret_value() if chosen.endpoint_key else None,
        timeout_seconds=chosen.endpoint_timeout_seconds,
        max_new_tokens=4 * chosen.max_new_tokens,
        temperature=chosen.temperature,
    )
    return model.reply
