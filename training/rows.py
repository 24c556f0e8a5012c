"""The rows that models learn from, and the strict reading and writing of files with one JSON object a line."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from agri_llm.errors import BadInput
from agri_llm.records import Message

Kind = Literal["grounded", "refusal", "clarification", "followup", "open", "pretraining"]
Split = Literal["train", "validation", "test"]
KINDS: tuple[str, ...] = get_args(Kind)
SPLITS: tuple[Split, ...] = get_args(Split)
MANIFEST = "manifest.json"  # of a data set; written last, so a folder without it is unfinished
ASKED = "\n\nQuestion: "  # what stands before the question in a request of `agri_llm.prompts`
_EXAMPLE = 'write {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]} on each line'


@dataclass(frozen=True, kw_only=True)
class Row:
    """One thing to learn: a chat that ends with the answer to give, or, for kind "pretraining", a text to read on.

    `group` is what must stay on one side of the split: the document that a question is about. `source` is the name of the
    source in the configuration, `crop` a glossary id or "any".
    """

    id: str
    group: str
    kind: Kind
    language: str
    source: str
    crop: str = "any"
    licence: str = ""
    messages: tuple[Message, ...] = ()
    text: str = ""
    split: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the row as it stands in a file: with messages, or with a text."""
        found = asdict(self)
        del found["messages" if self.kind == "pretraining" else "text"]
        if self.kind != "pretraining":
            found["messages"] = [dict(message) for message in self.messages]
        return found


def question_of(row: Row) -> str:
    """Return what is asked last, without the passages and rules around it; "" for a text to read on."""
    asked = next((message["content"] for message in reversed(row.messages) if message["role"] == "user"), "")
    return asked.rsplit(ASKED, 1)[-1]


def answers_of(row: Row) -> list[str]:
    """Return what the model is to write: its turns, or the text to read on."""
    return [row.text] if row.kind == "pretraining" else [one["content"] for one in row.messages if one["role"] == "assistant"]


def identity(*parts: str) -> str:
    """Return 16 hex digits that name these texts."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_hash(files: Iterable[Path]) -> str:
    """Return the sha256 of the names and contents of files."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.parent.name}/{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def write_whole(path: Path, text: str) -> None:
    """Write a file that is never seen half written."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def write(path: Path, rows: Iterable[Row]) -> int:
    """Write rows, one JSON object a line, and put the file in its place when it is whole; returns how many."""
    return write_json(path, (row.to_json() for row in rows))


def write_json(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write objects, one a line; a file of this name is replaced at the end and never seen half written."""
    part, count = path.with_name(path.name + ".part"), 0
    with part.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            count += 1
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return count


def read(path: Path) -> Iterator[Row]:
    """Yield the rows of a file of ours. Raises BadInput with the line that is not a row."""
    for where, found in objects(path):
        yield row_of(found, where)


def row_of(found: Mapping[str, Any], where: str) -> Row:
    """Return the row in a JSON object; `where` is for the error. Raises BadInput."""
    names = {field.name for field in fields(Row)}
    unknown, missing = sorted(set(found) - names), sorted({"id", "group", "kind", "language", "source"} - set(found))
    if unknown or missing:
        what = f"has no {missing[0]!r}" if missing else f"has {unknown[0]!r}, which no row has"
        raise BadInput(f"{where} {what}", "it cannot be learned from", "build the data set again with `agri data build`")
    texts = [found.get(name, "") for name in names - {"messages"}]
    if found["kind"] not in KINDS or not all(isinstance(text, str) for text in texts):
        raise BadInput(
            f"{where} is of kind {found['kind']!r} or holds something that is not a text",
            "it cannot be learned from",
            f"the kinds are {', '.join(KINDS)}",
        )
    if found["kind"] == "pretraining":
        return Row(**found)
    return Row(**{**found, "messages": chat(found.get("messages"), where)})


def chat(messages: object, where: str) -> tuple[Message, ...]:
    """Return the messages of a chat: maybe a system turn, then user and assistant in turn, the answer last. Raises BadInput."""
    turns = [turn for turn in messages if isinstance(turn, dict)] if isinstance(messages, list) else []
    roles = [turn.get("role") for turn in turns]
    asked = roles[1:] if roles[:1] == ["system"] else roles
    in_turn = asked == ["user", "assistant"] * (len(asked) // 2) and bool(asked)
    said = all(isinstance(turn.get("content"), str) and turn["content"].strip() for turn in turns)
    if not isinstance(messages, list) or len(turns) != len(messages) or not in_turn or not said:
        raise BadInput(f"{where} is no chat that ends with an answer", "there is nothing to learn from it", _EXAMPLE)
    return tuple({"role": turn["role"], "content": turn["content"]} for turn in turns)


def objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each JSON object of a file with the words that name its place. Raises BadInput: no such file, empty, not JSON."""
    found = False
    for number, line in enumerate(_lines(path), start=1):
        where = f"{path}, line {number},"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{where} is not JSON ({error})", "its row would be lost", "mend or remove the line") from error
        if not isinstance(row, dict):
            raise BadInput(f"{where} is not a JSON object", "a row has names and values", "mend or remove the line")
        found = True
        yield where, row
    if not found:
        raise empty(path)


def table(path: Path, needed: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows of a CSV file with the words that name their place. Raises BadInput where a needed column is missing."""
    reader = csv.DictReader(io.StringIO("".join(_lines(path))), strict=True)
    columns = list(reader.fieldnames or ())
    if missing := [name for name in needed if name not in columns]:
        raise BadInput(
            f"{path} has the columns {', '.join(columns) or 'none'}",
            f"the column {missing[0]!r} is needed",
            f"name the columns {', '.join(needed)} in the first line",
        )
    found = False
    try:
        for row in reader:
            found = True
            yield f"{path}, line {reader.line_num},", {name: value or "" for name, value in row.items() if name}
    except csv.Error as error:
        raise BadInput(f"{path}, line {reader.line_num}, is not CSV ({error})", "its row is lost", "mend it") from error
    if not found:
        raise empty(path)


def empty(path: Path) -> BadInput:
    """Return the sentence for a file without rows."""
    return BadInput(f"{path} is empty", "there is nothing to learn from it", "name a file with rows, or leave the source out")


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from file
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 ({error.reason})", "its text would be garbled", "save it as UTF-8") from error
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise BadInput(f"{path} cannot be read", reason, "name a file that is there") from error
