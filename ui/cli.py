"""The `agri` command. Each command reads its options, calls one function and prints; heavy imports happen inside."""

from __future__ import annotations

import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TextIO

import typer

from agri_llm.errors import AgriError, BadInput, StoreUnavailable
from ui.commands import accounts, canary, data, evaluating, exporting, photos, preferences, retraining, train
from ui.commands.console import end as _end
from ui.commands.console import open_index
from ui.commands.console import say as _say
from ui.commands.console import start as _start
from ui.commands.console import tell as _tell

if TYPE_CHECKING:
    from agri_llm.assistant import Assistant
    from ui.commands.batches import Details
    from ui.commands.finding import Wanted
    from ui.commands.indexing import Written

app = typer.Typer(
    help="Answers questions about crops; every sentence can be checked in a cited passage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
index_app = typer.Typer(help="Build and change the index of documents.", no_args_is_help=True)
app.add_typer(index_app, name="index")
app.add_typer(train.app, name="train")
app.add_typer(data.app, name="data")
app.add_typer(accounts.app, name="accounts")
app.add_typer(canary.app, name="canary")

IndexFolder = Annotated[Path | None, typer.Option("--index", help="Index folder; the default one when not given.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line, and nothing else.")]
Batch = Annotated[str | None, typer.Option(metavar="FILE", help="Questions as JSON lines, answered as such; - reads stdin.")]


class Kinds(StrEnum):
    """What documents can be counted by."""

    crop = "crop"
    topic = "topic"
    language = "language"


Language = Annotated[str | None, typer.Option(help="Language of the answer, like en or zh.")]


@app.command()
def ask(
    question: Annotated[str | None, typer.Argument(help="Your question.", show_default=False)] = None,
    crop: Annotated[str | None, typer.Option(help="Crop in your field.")] = None,
    place: Annotated[str | None, typer.Option(help="Country or region of your field.")] = None,
    stage: Annotated[str | None, typer.Option(help="Growth stage of the crop.")] = None,
    language: Language = None,
    photo: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Photo of the plant; again for more of the same plant."),
    ] = None,
    index: IndexFolder = None,
    batch: Batch = None,
    as_json: AsJson = False,
) -> None:
    """Answer a question, or a file of questions, from the documents in the index."""
    from ui.commands import diagnosing, indexing, quiet, rendering
    from ui.commands.batches import Details

    if not photo or question is not None or batch is not None:
        _one_of(question, batch)
    if photo and batch is not None:
        raise typer.BadParameter("a photo belongs to one question, not to a batch")
    details = Details(crop=crop, place=place, stage=stage, language=language)
    with quiet.results() as out:
        open_index(index)
        if batch is not None:
            _ask_all(batch, details, out)
        else:
            asked = replace(details.question(question or ""), photos=diagnosing.received(photo or []))
            with indexing.progress("Looking for an answer"):
                answer = _assistant().answer(asked)
            _say(rendering.one_line(rendering.answer_json(answer)) if as_json else rendering.answer_text(answer), out)


def _ask_all(source: str, details: Details, out: TextIO) -> None:
    from ui.commands import batches, rendering

    assistant, bad = _assistant(), 0
    for line in batches.read(source):
        if isinstance(line, BadInput):
            bad += _tell(line)
        else:
            answer = assistant.answer(line.as_question(details))
            _say(rendering.one_line({**rendering.answer_json(answer), "question_id": line.id}), out)
    _end(bad)


@app.command()
def search(
    query: Annotated[str | None, typer.Argument(help="What to look for.", show_default=False)] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Most passages for one query.")] = 10,
    crop: Annotated[str | None, typer.Option(help="Only passages about this crop, or about any.")] = None,
    region: Annotated[str | None, typer.Option(help="Only passages valid in this region.")] = None,
    language: Annotated[
        str | None, typer.Option(help="Language of the query; passages in it alone, where there are some.")
    ] = None,
    index: IndexFolder = None,
    batch: Batch = None,
    as_json: AsJson = False,
) -> None:
    """Show the passages found for a query, best first."""
    from ui import wiring
    from ui.commands import finding, quiet, rendering

    _one_of(query, batch)
    wanted = finding.Wanted(k=k, crop=crop, region=region, language=language)
    with quiet.results() as out:
        open_index(index)
        if batch is not None:
            _search_all(batch, wanted, out)
        else:
            hits = finding.search(wiring.knowledge_base(), [query or ""], wanted)[0]
            found = rendering.hits_text(hits) or "Nothing was found."
            _say(rendering.one_line({"hits": rendering.hits_json(hits)}) if as_json else found, out)


def _search_all(source: str, wanted: Wanted, out: TextIO) -> None:
    from ui import wiring
    from ui.commands import batches, finding, rendering

    bad = 0
    for found in finding.search_batch(wiring.knowledge_base(), batches.read(source), wanted):
        if isinstance(found, BadInput):
            bad += _tell(found)
        else:
            line, hits = found
            _say(rendering.one_line({"id": line.id, "hits": rendering.hits_json(hits)}), out)
    _end(bad)


@index_app.command("build")
def index_build(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files and folders; the shipped sheets when none.")] = None,
    index: IndexFolder = None,
) -> None:
    """Write a new index of your documents, or of the shipped sheets; it replaces the one that was there."""
    from ui.commands import indexing, places, quiet

    with quiet.results() as out:
        _start(index)
        _report("Indexed", indexing.build(places.place(), paths or [], _tell), places.place().name, out)


@index_app.command("add")
def index_add(paths: Annotated[list[Path], typer.Argument(help="Files and folders.")], index: IndexFolder = None) -> None:
    """Add documents to the index; those that are there already are replaced."""
    from ui.commands import indexing, places, quiet

    with quiet.results() as out:
        open_index(index)
        _report("Added", indexing.add(places.place(), paths, _tell), places.place().name, out)


@index_app.command("remove")
def index_remove(
    ids: Annotated[list[str], typer.Argument(help="Ids of documents, as `agri index list` shows them.")],
    index: IndexFolder = None,
) -> None:
    """Remove documents from the index."""
    from ui.commands import places, quiet, rendering

    with quiet.results() as out:
        open_index(index)
        place = places.place()
        _say(f"Removed {rendering.counted(place.remove(ids), 'passage')} from {place.name}.", out)


@index_app.command("compact")
def index_compact(index: IndexFolder = None) -> None:
    """Write the index anew without what was removed; after many changes searches are faster again."""
    from ui.commands import places, quiet

    with quiet.results() as out:
        open_index(index)
        _say(places.place().compact(), out)


@index_app.command("list")
def index_list(
    crop: Annotated[str | None, typer.Option(help="Only documents about this crop.")] = None,
    topic: Annotated[str | None, typer.Option(help="Only documents on this topic, like pest or soil.")] = None,
    language: Annotated[str | None, typer.Option(help="Only documents in this language, like en or zh.")] = None,
    by: Annotated[Kinds | None, typer.Option(help="Count the documents of each crop, topic or language.")] = None,
    index: IndexFolder = None,
    as_json: AsJson = False,
) -> None:
    """List the documents in the index, or count them by crop, topic or language."""
    from ui.commands import indexing, places, quiet, rendering

    with quiet.results() as out:
        open_index(index)
        documents = indexing.listed(places.place(), crop, topic, language)
        if by is not None:
            counts = indexing.counted_by(documents, by.value)
            _say(rendering.one_line(dict(counts)) if as_json else rendering.counts_text(by.value, counts), out)
        else:
            _say(rendering.documents_json(documents) if as_json else rendering.documents_text(documents), out)


data.app.command("preferences")(preferences.preferences)
data.app.command("replay")(preferences.replay)
data.app.command("remove-rater")(preferences.remove_rater)
data.app.command("examples")(preferences.examples)
app.command()(photos.diagnose)
app.command()(evaluating.evaluate)
app.command()(exporting.export)
app.command()(retraining.retrain)
app.command()(retraining.promote)


@app.command()
def serve(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port; AGRI_PORT or 8501 when not given.")] = None,
    address: Annotated[str | None, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = None,
) -> None:
    """Prepare everything and serve the web page until Ctrl-C."""
    from ui import wiring
    from ui.commands import indexing, serving

    with serving.until_stopped():
        chosen = _start(port=port)
        wiring.visitor_secret()
        host, first = serving.checked_address(address, chosen.port), None
        try:
            wiring.store().migrate()
        except StoreUnavailable as error:  # people still get answers, only nothing is saved
            _tell(error)
        else:
            first = accounts.first_address(chosen)
        indexing.prepare()
        _say(f"Open http://localhost:{chosen.port} in your browser; Ctrl-C stops.", sys.stdout)
        if first is not None:
            _say(f"There is no administrator yet; this link makes one, once, within a week: {first}", sys.stdout)
        serving.run(host, chosen.port)


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    from ui import wiring

    _start()
    applied = wiring.store().migrate()
    _say(f"Applied {', '.join(applied)}." if applied else "The database has the newest schema already.", sys.stdout)


@app.command()
def settings() -> None:
    """Show every setting, its value, and where it comes from."""
    from ui.commands import origins, rendering

    _say(rendering.columns([[each.name, each.value, each.origin] for each in origins.every_setting()]), sys.stdout)


@app.command()
def doctor() -> None:
    """Look at everything an installation needs and say what is wrong."""
    from ui.commands import doctor, quiet

    problems = 0
    with quiet.results() as out:
        for finding in doctor.examine():
            remedy = f"; {finding.remedy}" if finding.remedy else ""
            _say(f"{finding.state:<8}{finding.part}: {finding.value}{remedy}", out)
            problems += finding.state == "problem"
    _end(problems)


@app.command(hidden=True)
def vectors() -> None:
    """Compute the vectors of the shipped sheets again and write them into the package (for maintainers)."""
    from knowledge_base import shipped
    from ui import wiring
    from ui.commands import indexing, quiet

    with quiet.results() as out:
        _start()
        with indexing.progress("Embedding the sheets") as report:
            passages = shipped.write_shipped_vectors(wiring.embedder(), report)
        _say(f"Wrote the vectors of {passages} passages to {shipped.VECTORS}.", out)


def _one_of(text: str | None, batch: str | None) -> None:
    if (text is None) == (batch is None):
        raise typer.BadParameter("give one text, or --batch FILE")


def _assistant() -> Assistant:
    """Return the assistant with its embedder loaded, so that the times in an answer are those of answering."""
    from ui import wiring

    wiring.embedder().questions(["ready"])
    return wiring.assistant()


def _report(done: str, written: Written, place: str, out: TextIO) -> None:
    from ui.commands.rendering import counted

    _say(f"{done} {counted(written.documents, 'document')}, {counted(written.passages, 'passage')}, in {place}.", out)
    _end(written.unreadable)


def main() -> NoReturn:
    """Run the command; whatever goes wrong ends in one sentence on standard error and status 1."""
    try:
        app(prog_name="agri")
    except AgriError as error:
        _tell(error)
    except Exception as error:  # noqa: BLE001 - the edge: nobody should meet a traceback
        from ui.commands import reporting

        print(reporting.sentence(error), file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
