"""Rows out of files of other shapes: chats, Alpaca, ShareGPT, tables, questions with a passage, corrections by agronomists."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

from agri_llm import safety
from agri_llm.errors import BadInput, DocumentUnreadable
from agri_llm.records import Message, Passage, Question
from agri_llm.sentences import split
from knowledge_base.documents import Document, read_all
from knowledge_base.languages import language_of
from knowledge_base.passages import cut_all
from training import rows
from training.data_config import Source
from training.library import Library
from training.rows import Kind, Row, identity

_TURNS = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "bot": "assistant", "system": "system"}
DISTRACTORS = (1, 3)  # passages of other rows beside the one that answers


def read(source: Source) -> Iterator[Row]:
    """Yield the rows of a file. Raises BadInput in one sentence: no such file, wrong columns, empty, broken, not UTF-8."""
    path = Path(source.path)
    if source.sort == "grounded":
        yield from _with_passages(source, path)
        return
    readers: Mapping[str, Callable[[Source, Path], Iterator[Row]]] = {
        "chat": _chats,
        "alpaca": _alpaca,
        "sharegpt": _sharegpt,
        "csv": _table,
        "corrections": _corrections_file,
    }
    yield from readers[source.sort](source, path)


def files_of(source: Source) -> list[Path]:
    """Return the files that a source is read from. Raises BadInput where there are none."""
    path = Path(source.path)
    found = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    if not found or not all(one.is_file() for one in found):
        raise BadInput(f"the source {source.name!r} names {path}", "no file is there", "correct its path, or leave it out")
    return found


def documents(source: Source) -> tuple[list[Passage], list[DocumentUnreadable]]:
    """Return the passages of a folder, and why some documents have none. Raises DocumentUnreadable where none has any."""
    found, lost = list[Document](), list[DocumentUnreadable]()
    for document in read_all([Path(source.path)]):
        if isinstance(document, DocumentUnreadable):
            lost.append(document)
        else:
            found.append(document)
    if lost and not found:
        raise lost[0]
    return cut_all(found), lost


def corrections(records: Iterable[Mapping[str, Any]], source: Source) -> Iterator[Row]:
    """Yield a row for each correction that an agronomist approved: the request as it was sent, and the better answer.

    A record has "id", "messages" (the request), "correction", "status" and maybe "language". Raises BadInput.
    """
    for number, record in enumerate(records, start=1):
        where = f"the correction {record.get('id') or number}"
        if record.get("status") not in ("approved", "edited"):
            continue
        request = [one for one in record.get("messages") or () if isinstance(one, dict) and one.get("role") != "assistant"]
        messages = rows.chat([*request, {"role": "assistant", "content": record.get("correction")}], where)
        kind: Kind = "grounded" if "Passages:" in messages[-2]["content"] else "open"
        yield _row(source, messages, kind, record, where)


def _corrections_file(source: Source, path: Path) -> Iterator[Row]:
    return corrections((found for _, found in rows.objects(path)), source)


def _chats(source: Source, path: Path) -> Iterator[Row]:
    for where, found in rows.objects(path):
        _needs(found, ("messages",), where)
        yield _row(source, rows.chat(found["messages"], where), "open", found, where)


def _alpaca(source: Source, path: Path) -> Iterator[Row]:
    """Read {"instruction", "input", "output"}, one object a line or one list (Taori et al. 2023)."""
    for where, found in _listed(path):
        _needs(found, ("instruction", "output"), where)
        asked = "\n\n".join(str(found[name]) for name in ("instruction", "input") if found.get(name))
        yield _row(source, _pair(asked, found["output"], where), "open", found, where)


def _sharegpt(source: Source, path: Path) -> Iterator[Row]:
    """Read {"conversations": [{"from", "value"}]}; a last turn that holds a decision to ask or to answer is taken apart."""
    for where, found in _listed(path):
        _needs(found, ("conversations",), where)
        said = found["conversations"] if isinstance(found["conversations"], list) else []
        turns = [
            {"role": _TURNS.get(str(one.get("from")), ""), "content": one.get("value")} if isinstance(one, dict) else one
            for one in said
        ]
        kind: Kind = "open"
        if turns and isinstance(turns[-1], dict) and str(turns[-1]["content"]).lstrip().startswith('{"decision"'):
            turns[-1], kind = _decided(turns[-1], where)
        yield _row(source, rows.chat(turns, where), kind, found, where)


def _decided(turn: Mapping[str, Any], where: str) -> tuple[dict[str, Any], Kind]:
    try:
        said = json.loads(turn["content"])
        decision, utterance = str(said["decision"]), str(said["utterance"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{where} has a decision that is not JSON", "its answer is lost", "mend or remove the line") from error
    return {"role": "assistant", "content": utterance}, "clarification" if "clarify" in decision.lower() else "open"


def _table(source: Source, path: Path) -> Iterator[Row]:
    for where, found in rows.table(path, ("question", "answer")):
        yield _row(source, _pair(found["question"], found["answer"], where), "open", found, where)


def _with_passages(source: Source, path: Path) -> Iterator[Row]:
    """Read {"question", "passage", "answer"}: the sentence of the passage that holds the answer is what to write, cited."""
    found = list(rows.objects(path))
    for where, each in found:
        _needs(each, ("question", "passage", "answer"), where)
    passages = {
        text: Passage(
            id=identity(text),
            document_id=identity(text),
            title="",
            text=" ".join(text.split()),
            language=source.language or str(each.get("language") or language_of(text)),
            licence=source.licence or str(each.get("licence") or ""),
        )
        for _, each in found
        for text in [str(each["passage"])]
    }
    library = Library.of(passages.values(), sorted({passage.language for passage in passages.values()}))
    for where, each in found:
        row = _cited(library, source, passages[str(each["passage"])], each, where)
        if row is not None:
            yield row


def _cited(library: Library, source: Source, passage: Passage, found: Mapping[str, Any], where: str) -> Row | None:
    """Return a grounded row, or None where no sentence of the passage that passes our checks holds the answer."""
    question, answer = (" ".join(str(found[name]).split()) for name in ("question", "answer"))
    random = Random(f"{source.name}/{question}")
    others = library.distractors(passage.document_id, random.randint(*DISTRACTORS), random)
    shown = random.sample([passage, *others], 1 + len(others))
    holding = next((span.text for span in split(passage.text) if answer.lower().rstrip(".") in span.text.lower()), "")
    text = f"{holding}[{shown.index(passage) + 1}]"
    if not holding or not isinstance(safety.check_sentence(text, shown), safety.Supported):
        return None
    messages = (*library.request(Question(text=question), shown), {"role": "assistant", "content": text})
    return _row(source, messages, "grounded", {**found, "group": passage.document_id}, where)


def _pair(question: object, answer: object, where: str) -> tuple[Message, ...]:
    return rows.chat([{"role": "user", "content": question}, {"role": "assistant", "content": answer}], where)


def _row(source: Source, messages: tuple[Message, ...], kind: Kind, found: Mapping[str, Any], where: str) -> Row:
    asked = next(one["content"] for one in messages if one["role"] == "user")
    grouped = found.get(source.group_by) if source.group_by else found.get("group", " ".join(asked.split()).casefold())
    if grouped is None:
        raise BadInput(f"{where} has no {source.group_by!r}", "its rows cannot be kept together", "correct group_by")
    said = messages[-1]["content"]
    return Row(
        id=identity(source.name, *(one["content"] for one in messages)),
        group=f"{source.name}-{hashlib.sha256(str(grouped).encode('utf-8', 'replace')).hexdigest()[:12]}",
        kind=kind,
        language=source.language or str(found.get("language") or language_of(said)),
        source=source.name,
        licence=source.licence or str(found.get("licence") or found.get("license") or ""),
        messages=messages,
    )


def _needs(found: Mapping[str, Any], names: tuple[str, ...], where: str) -> None:
    for name in names:
        if name not in found:
            raise BadInput(
                f"{where} has the names {', '.join(map(str, found)) or 'none'}",
                f"{name!r} is needed",
                "name the sort of this source as the file is: chat, alpaca, sharegpt, csv or grounded",
            )


def _listed(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of a file of JSON lines, or of one JSON list, as these sets are often handed on."""
    try:
        with path.open("rb") as file:
            is_list = file.read(64).lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"[")
    except OSError:
        is_list = False  # reading it as lines says what is wrong
    if not is_list:
        yield from rows.objects(path)
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 ({error.reason})", "its text would be garbled", "save it as UTF-8") from error
    except ValueError as error:
        raise BadInput(f"{path} is not JSON ({error})", "its rows cannot be told apart", "mend it") from error
    if not found:
        raise rows.empty(path)
    for number, row in enumerate(found, start=1):
        if not isinstance(row, dict):
            raise BadInput(f"{path}, row {number}, is not a JSON object", "a row has names and values", "mend it")
        yield f"{path}, row {number},", row
