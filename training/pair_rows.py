"""Preference data as the trainers read them: nothing lost in silence, the tokens those of serving, both labels mixed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from agri_llm.errors import BadInput
from training import chats, preflight, rows
from training.chats import Unfaithful
from training.configuration import Training
from training.preferences import PAIRS, SINGLE

if TYPE_CHECKING:
    from datasets import Dataset

FOLDERS: dict[str, str] = {"dpo": PAIRS, "kto": SINGLE, "reward": PAIRS}
Side = Literal["train", "validation"]


@dataclass(kw_only=True)
class Preferences:
    """Rows of each side, what was left out and why, the groups of each side, and the ids of what people said."""

    rows: dict[str, list[dict[str, Any]]]
    rejected: dict[str, str] = field(default_factory=dict)
    feedback_ids: tuple[str, ...] = ()

    def dataset(self, side: Side, kind: str) -> Dataset:
        """Return a side as the trainer takes it, without the columns it does not know."""
        from datasets import Dataset

        columns = ("prompt", "completion", "label") if kind == "kto" else ("prompt", "chosen", "rejected")
        return Dataset.from_list([{name: row[name] for name in columns} for row in self.rows[side]])

    def chosen(self, side: Side) -> list[dict[str, Any]]:
        """Return the better answers of a side as chats."""
        return better(self.rows[side])


def better(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the better answers of rows as chats."""
    answers = ((row, row.get("chosen") or (row["completion"] if row["label"] else None)) for row in found)
    return [
        {"id": row["id"], "group": row["group"], "messages": [*row["prompt"], *answer]} for row, answer in answers if answer
    ]


def read(training: Training, kind: str, tokenizer: Any, stops: list[int]) -> Preferences:
    """Read the rows of a snapshot for this kind of training. Raises BadInput for what cannot be learned from."""
    folder = Path(training.ours.data) / FOLDERS[kind]
    if not folder.is_dir():
        raise BadInput(
            f"{training.ours.data} holds no {FOLDERS[kind]}", "it is no preference data", "see `agri data preferences`"
        )
    found = Preferences(rows={"train": [], "validation": []})
    ids: set[str] = set()
    for side, kept in found.rows.items():
        for where, row in rows.objects(folder / f"{side}.jsonl") if (folder / f"{side}.jsonl").stat().st_size else ():
            why = _problem(row, where, kind, tokenizer, stops, training.args.max_length or 0)
            if why:
                found.rejected[str(row["id"])] = why
            else:
                kept.append(row)
                ids |= set(row.get("feedback_ids", ()))
    found.feedback_ids = tuple(sorted(ids))
    if kind == "kto":
        found.rows["train"] = mixed(found.rows["train"], training.args.seed)
    return found


def of_side(training: Training, kind: str, side: str, tokenizer: Any, stops: list[int]) -> list[dict[str, Any]]:
    """Return the rows of one side that can be used, the test side too, which no training reads."""
    file = Path(training.ours.data) / FOLDERS[kind] / f"{side}.jsonl"
    longest = training.args.max_length or 0
    found = rows.objects(file) if file.is_file() and file.stat().st_size else ()
    return [row for where, row in found if not _problem(row, where, kind, tokenizer, stops, longest)]


def _problem(row: dict[str, Any], where: str, kind: str, tokenizer: Any, stops: list[int], longest: int) -> str:
    """Return why a row cannot be used, or "". Raises BadInput for one that is none."""
    texts = ("completion",) if kind == "kto" else ("chosen", "rejected")
    missing = [name for name in ("id", "group", "prompt", *texts) if not row.get(name)]
    if missing or (kind == "kto" and not isinstance(row.get("label"), bool)):
        named = missing[0] if missing else "label"
        raise BadInput(f"{where} has no {named!r}", "it cannot be learned from", "make the data again")
    if kind != "kto" and row["chosen"] == row["rejected"]:
        raise BadInput(f"{where} is a tie: both answers are equal", "it teaches nothing", "make the data again")
    for name in texts:
        messages = [*row["prompt"], *row[name]]
        try:
            ids = chats.encode(tokenizer, messages, stops).ids
        except Unfaithful as error:
            return str(error)
        if len(ids) > longest:
            return f"{len(ids)} tokens, more than max_length {longest}"
        if list(tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"]) != list(ids):
            return "a control token stands in it"
    return ""


def mixed(found: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Return rows in an order drawn once in which good and bad answers are spread evenly: every batch should hold both."""
    random = Random(seed)
    sides = {label: [row for row in found if row["label"] is label] for label in (True, False)}
    placed = []
    for label, some in sides.items():
        random.shuffle(some)
        placed += [((at + random.random()) / len(some), label, row) for at, row in enumerate(some)]
    return [row for _, _, row in sorted(placed, key=lambda each: each[:2])]


def check(training: Training, kind: str, found: Preferences) -> list[str]:
    """The manifest holds, enough rows are there, few are lost, the sides share no group. Raises BadInput; returns lines."""
    lines = [preflight.check_manifest(Path(training.ours.data) / FOLDERS[kind], unchecked=training.ours.unchecked_data)]
    train, held = found.rows["train"], found.rows["validation"]
    lost = len(found.rejected) / max(1, len(train) + len(held) + len(found.rejected))
    example = next(iter(found.rejected.items()), ("", ""))
    if lost > training.ours.most_lost:
        raise BadInput(
            f"{len(found.rejected)} of the rows cannot be used ({lost:.1%}), such as {example[0]}: {example[1]}",
            f"more than most_lost {training.ours.most_lost:.1%} would be lost in silence",
            "raise max_length, correct these rows, or raise most_lost",
        )
    if len(train) < 2:
        raise BadInput(
            f"{training.ours.data} has {len(train) or 'no'} {'row' if len(train) == 1 else 'rows'} to learn from",
            "a model learns nothing from so little",
            "collect more ratings",
        )
    if training.args.eval_strategy != "no" and not held:
        raise BadInput(
            f"{training.ours.data} has no rows in validation", "nothing could tell what it brings", "set eval_strategy: no"
        )
    if both := {row["group"] for row in train} & {row["group"] for row in held}:
        raise BadInput(f"{len(both)} groups stand on both sides", "the figures would measure memory", "make the data again")
    lines.append(f"rows: {len(train):,} to learn from, {len(held):,} held out, {len(found.rejected)} left out")
    return [*lines, _labels(train) if kind == "kto" else _lengths(training, train)]


def _labels(train: list[dict[str, Any]]) -> str:
    counts = Counter(row["label"] for row in train)
    if len(counts) < 2:
        raise BadInput(
            f"every answer is {'good' if counts[True] else 'bad'}",
            "KTO learns from the difference",
            "collect the other kind too",
        )
    return f"labels: {counts[True]} good, {counts[False]} bad"


def _lengths(training: Training, train: list[dict[str, Any]]) -> str:
    longer = [len(row["chosen"][0]["content"]) > len(row["rejected"][0]["content"]) for row in train]
    share, most = sum(longer) / len(longer), getattr(training.ours, "longest_wins", 1.0)
    if share > most:
        raise BadInput(
            f"the longer answer is the better one in {share:.0%} of the pairs",
            f"above {most:.0%} a model learns to write long",
            "balance the data, or raise longest_wins",
        )
    return f"lengths: the longer answer is the better one in {share:.0%} of the pairs"


def label_weights(train: list[dict[str, Any]]) -> tuple[float, float]:
    """Return the weights of good and bad answers, so that each kind counts as much (KTO, section 4)."""
    good = sum(row["label"] for row in train)
    bad = len(train) - good
    return (1.0, good / bad) if good > bad else (bad / good, 1.0)
