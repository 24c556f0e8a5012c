"""`agri train chain`: a folder of configurations in, progress on standard error, the table of figures out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ui.commands import adapting, quiet


def chain(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Configurations, like training/configs/tiny.")],
    out: Annotated[Path | None, typer.Option(help="Folder of all steps; the same one again goes on.")] = None,
    texts: Annotated[list[Path] | None, typer.Option(help="A folder of documents to read on, beside our sheets.")] = None,
    data: Annotated[Path | None, typer.Option(help="A data set that is there; else one is built.")] = None,
) -> None:
    """Make a small model from nothing and teach it to answer: tokenizer, decoder, tuning, and held-out figures of each."""
    quiet.hush_libraries({"HF_HUB_OFFLINE": "1"})  # nothing has to be fetched
    adapting.prepare()
    from training import chain_config

    chosen = chain_config.read(folder, out, tuple(texts or ()), data)
    adapting.tell_of_one(f"Settings: {chain_config.described(chosen)}")
    with quiet.results() as results:
        from training import chain as steps
        from training import chain_figures

        results.write(chain_figures.table(steps.run(chosen, adapting.tell_of_one)) + "\n")
