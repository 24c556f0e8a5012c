"""Rows of a data set folder as tokens for the trainer: none is lost without being listed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agri_llm.errors import BadInput
from training import chats
from training.chats import Encoded, Unfaithful

if TYPE_CHECKING:
    from datasets import Dataset

    from training.configuration import Kind

SPLITS = ("train", "validation")
NEEDED = {"sft": "messages", "pretrain": "text"}
ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The tokens of a data set: `rows` by split, with columns input_ids and labels; `rejected` says of which row why."""

    rows: dict[str, Dataset]
    rejected: dict[str, str]
    groups: dict[str, frozenset[str]]
    longest: int  # tokens of the longest row, rejected ones too
    total: int
    trained: int
    sample: list[tuple[Mapping[str, Any], Encoded]]
    others: int = 0  # rows for the other kind of training: a data set may hold both

    @property
    def lost(self) -> float:
        """The share of rows that were rejected."""
        kept = sum(len(rows) for rows in self.rows.values())
        return len(self.rejected) / max(1, kept + len(self.rejected))


class Reader:
    """Encodes the rows of one folder and counts what it meets on the way."""

    def __init__(self, folder: Path, kind: Kind, tokenizer: Any, stops: list[int], max_length: int, *, cut: bool) -> None:
        self.folder, self.kind, self.tokenizer, self.stops, self.max_length, self.cut = (
            folder, kind, tokenizer, stops, max_length, cut
        )  # fmt: skip
        self.rejected: dict[str, str] = {}
        self.groups: dict[str, set[str]] = {split: set() for split in SPLITS}
        self.sample: list[tuple[Mapping[str, Any], Encoded]] = []
        self.longest = self.total = self.trained = self.others = 0

    def encoded(self, split: str) -> Iterator[dict[str, list[int]]]:
        """Yield the rows of one split as the trainer takes them."""
        for number, row in lines(self.folder / f"{split}.jsonl", self.kind):
            place = f"{split}.jsonl line {number}"
            if row is None:
                self.others += 1
                continue
            try:
                found = self._encode(row)
            except Unfaithful as error:
                self.rejected[str(row.get("id", place))] = str(error)
                continue
            self.groups[split].add(str(row.get("group", row.get("id", place))))
            self.total += len(found.ids)
            self.trained += sum(label != chats.IGNORED for label in found.labels)
            if len(self.sample) < 200:
                self.sample.append((row, found))
            yield {"input_ids": found.ids, "labels": found.labels}

    def _encode(self, row: Mapping[str, Any]) -> Encoded:
        if self.kind == "sft":
            found = chats.encode(self.tokenizer, row["messages"], self.stops)
        else:
            ids = document(self.tokenizer, row["text"])
            found = Encoded(ids=ids, labels=ids)
        self.longest = max(self.longest, len(found.ids))
        if len(found.ids) > self.max_length and not self.cut:
            raise Unfaithful(f"it has {len(found.ids)} tokens, more than max_length {self.max_length}")
        return found


def prepare(
    folder: Path, kind: Kind, tokenizer: Any, stops: list[int], max_length: int, *, cut: bool, kept_in: Path | None = None
) -> Tokens:
    """Encode the train and validation rows of a folder; `cut` lets the packing cut long rows, else they are rejected.

    Rows are written through to `kept_in`, where one is given, so that a corpus need not fit in memory. Raises BadInput.
    """
    from datasets import Dataset, Features, List, Value

    if not folder.is_dir():
        raise BadInput(f"there is no data set at {folder}", "nothing can be learned from it", "check `data`")
    reader = Reader(folder, kind, tokenizer, stops, max_length, cut=cut)
    features = Features({"input_ids": List(Value("int32")), "labels": List(Value("int32"))})
    rows = {}
    for split in SPLITS:
        if (folder / f"{split}.jsonl").is_file() or split == "train":
            if kept_in is None:
                rows[split] = Dataset.from_list(list(reader.encoded(split)), features=features)
            else:
                rows[split] = _through(kept_in / split, reader, split, features)
    return Tokens(
        rows=rows,
        rejected=reader.rejected,
        groups={split: frozenset(groups) for split, groups in reader.groups.items()},
        longest=reader.longest,
        total=reader.total,
        trained=reader.trained,
        sample=reader.sample,
        others=reader.others,
    )


def _through(place: Path, reader: Reader, split: str, features: Any) -> Dataset:
    """Write the rows of a split to disk as they come and return them from there."""
    import pyarrow
    from datasets import Dataset

    place.parent.mkdir(parents=True, exist_ok=True)
    file = place.with_suffix(".arrow")
    schema = features.arrow_schema
    with pyarrow.OSFile(str(file), "wb") as sink, pyarrow.ipc.new_stream(sink, schema) as writer:
        batch: list[dict[str, list[int]]] = []
        for row in reader.encoded(split):
            batch.append(row)
            if len(batch) == 1000:
                writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema=schema))
                batch = []
        if batch:
            writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema=schema))
    return Dataset.from_file(str(file))


def document(tokenizer: Any, text: str) -> list[int]:
    """Return a document of a pretraining corpus, its end marked; control tokens in it are plain text."""
    ids = list(tokenizer(text, split_special_tokens=True)["input_ids"]) if text else []
    end = tokenizer.eos_token_id
    return ids if end is None or ids[-1:] == [end] else [*ids, end]


def lines(path: Path, kind: Kind) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Yield line numbers and rows of a file; None for a row that another kind of training learns from.

    Raises BadInput for a file that is not there, and for a row that cannot be read or learned from.
    """
    for number, row in _objects(path):
        is_text = row.get("kind") == "pretraining"
        if "kind" in row and is_text != (kind == "pretrain"):
            yield number, None
        else:
            _check(row, kind, path, number)
            yield number, row


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a JSON lines file with their line numbers."""
    number = 0
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise BadInput(f"{path} line {number} is no object", "a row has named columns", "build the data again")
                    yield number, row
    except FileNotFoundError as error:
        raise BadInput(f"there is no {path}", "nothing can be learned", "build the data with `agri data build`") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadInput(f"{path} line {number} cannot be read", str(error), "build the data again") from error


def _check(row: Mapping[str, Any], kind: Kind, path: Path, number: int) -> None:
    needed = NEEDED[kind]
    if needed not in row:
        raise BadInput(
            f"{path} line {number} has the columns {', '.join(sorted(row)) or 'none'}, not {needed!r}",
            f"`agri train {kind}` learns from {needed!r}",
            "build the data for this kind of training",
        )
    if kind == "pretrain" and isinstance(row["text"], str):
        return
    messages = row[needed]
    if kind == "pretrain" or not isinstance(messages, list) or not all(_is_message(each) for each in messages):
        raise BadInput(
            f"{path} line {number} has {needed!r} of another form",
            f"it must be {'text' if kind == 'pretrain' else 'a list of objects with role and content'}",
            "build the data again",
        )


def _is_message(each: Any) -> bool:
    return isinstance(each, dict) and each.get("role") in ROLES and isinstance(each.get("content"), str)
