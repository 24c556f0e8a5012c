"""Looks at everything an installation needs and says, in one line each, what is well and what to do about the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from agri_llm.errors import AgriError, IndexMissing

FAISS_PACKAGES = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12")  # all of them own the module `faiss`


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the doctor; only a "problem" needs something done, which `remedy` names."""

    state: Literal["ok", "note", "problem"]
    part: str
    value: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Yield the findings part by part; what an AgriError says of a part becomes its problem."""
    parts: list[tuple[str, Callable[[], Finding]]] = [
        ("settings", _settings),
        ("database", _database),
        ("index", _index),
        ("embedder", _embedder),
        ("model", _model),
        ("photo model", _photo_model),
        ("GPU", _gpu),
        ("faiss", _faiss),
    ]
    for part, look in parts:
        try:
            yield look()
        except AgriError as error:
            yield Finding(state="problem", part=part, value=f"{error.what}: {error.why}", remedy=error.next_step)
            if part == "settings":  # nothing else can be looked at without them
                return


def _settings() -> Finding:
    from ui import wiring
    from ui.commands import origins, quiet

    quiet.hush(wiring.settings())
    if wiring.settings().secret is not None:  # else one is made when the page first starts
        wiring.visitor_secret()
    unknown = origins.unknown_variables()
    if unknown:
        return Finding(
            state="problem",
            part="settings",
            value=f"{', '.join(unknown)} in the environment or .env is no setting of ours",
            remedy="correct the name, see `agri settings`",
        )
    return Finding(state="ok", part="settings", value=origins.changed() or "all defaults")


def _database() -> Finding:
    from sqlalchemy import make_url

    from ui import wiring

    address = make_url(wiring.settings().database)
    shown = address.set(query={}).render_as_string(hide_password=True)
    if address.get_backend_name() == "sqlite" and address.database and not Path(address.database).exists():
        return Finding(state="note", part="database", value=f"{shown} does not exist yet", remedy="`agri serve` makes it")
    store = wiring.store()
    store.ping()
    state = store.schema_state()
    value = f"{shown}, schema {state}"
    if state == "newer":
        return Finding(state="problem", part="database", value=value, remedy="start the later release that made it")
    if state == "current":
        return Finding(state="ok", part="database", value=value)
    return Finding(state="note", part="database", value=value, remedy="run `agri migrate`; `agri serve` does it by itself")


def _index() -> Finding:
    from ui import wiring
    from ui.commands import places

    try:
        view = wiring.knowledge_base().view
    except IndexMissing as error:
        return Finding(state="note", part="index", value=error.what, remedy="the first question builds it")
    documents = len({entry.id for _, entry, _ in view.documents()})
    value = f"{len(view.passages)} passages of {documents} documents, {view.manifest['embedder']['name']}, {view.hash[:12]}"
    return Finding(state="ok", part="index", value=f"{value}, {places.place().name}")


def _embedder() -> Finding:
    from ui import wiring

    embedder = wiring.embedder()
    return Finding(state="ok", part="embedder", value=f"{embedder.name}, {embedder.dimension} dimensions, {embedder.backend}")


def _model() -> Finding:
    from ui import wiring

    model = wiring.language_model()
    describe = getattr(model, "describe", None)
    told = describe() if describe else {"writer": model.name}
    problem = str(told.pop("problem", ""))
    value = ", ".join(f"{name}: {_plain(fact)}" for name, fact in told.items() if fact is not None)
    if problem:
        return Finding(state="problem", part="model", value=f"{value}; {problem}", remedy="promote a run, or go back")
    return Finding(state="ok", part="model", value=value)


def _plain(fact: object) -> str:
    return " ".join(map(str, fact)) if isinstance(fact, list) else str(fact)


def _photo_model() -> Finding:
    from safetensors import SafetensorError

    from agri_llm.photos.scope import Known
    from agri_llm.vision import SHIPPED
    from ui import wiring

    model = wiring.photo_model()
    name = "shipped" if model.name == SHIPPED else model.name
    try:
        value = f"{name}, {len(model.labels)} labels, photos of {model.reading.size} × {model.reading.size} pixels"
        scope = Known.open(Path(model.name))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        value = f"a file beside the weights of {name} cannot be read ({str(error).partition(chr(10))[0]})"
        return Finding(state="problem", part="photo model", value=value, remedy="copy the whole folder of the model again")
    if scope is None:
        remedy = "every photo counts as one of a plant it knows; make the model with `agri train photos`"
        return Finding(state="note", part="photo model", value=f"{value}, what it never learned is not told", remedy=remedy)
    return Finding(state="ok", part="photo model", value=f"{value}, tells what it never learned")


def _gpu() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding(state="note", part="GPU", value=f"none that torch {torch.__version__} can use: all runs on the CPU")
    names = ", ".join(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
    return Finding(state="ok", part="GPU", value=f"{names}, torch {torch.__version__}")


def _faiss() -> Finding:
    found = []
    for name in FAISS_PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    if len(found) == 1:
        return Finding(state="ok", part="faiss", value=found[0])
    value = " and ".join(found) or "no faiss package"
    why = "is installed" if not found else "are both installed and overwrite each other"
    return Finding(state="problem", part="faiss", value=f"{value} {why}", remedy="run `make setup` or `make setup GPU=1` again")
