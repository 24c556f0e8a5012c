"""The questions that a model answers while it learns: those people rated, those of a data set, kinds kept in shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Literal, cast

from agri_llm.errors import BadInput
from agri_llm.language import chat_template
from training import preflight, rewards, rows
from training.configuration import Training
from training.online_config import Earning
from training.preferences import CHATS, PAIRS, SINGLE

Asks = Literal["answerable", "unanswerable", "unclear", "unknown"]
OF_KIND: dict[str, Asks] = {
    "grounded": "answerable", "followup": "answerable", "refusal": "unanswerable", "clarification": "unclear"
}  # fmt: skip


@dataclass(kw_only=True)
class Asked:
    """Questions as rows of `prompt` and `asks`, in the order of learning; how many were left out; ids of what people said."""

    rows: list[dict[str, Any]]
    left_out: int = 0
    feedback_ids: tuple[str, ...] = ()
    counts: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        """Return how many questions of each kind there are, in a sentence."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.counts.items()))
        return [f"questions: {len(self.rows):,} ({kinds}), {self.left_out} left out"]


def read(training: Training, tokenizer: Any) -> Asked:
    """Read the questions of the learning side, each once. Raises BadInput where fewer than two can be asked."""
    ours, args = cast(Earning, training.ours), training.args
    room = (args.max_length or 0) - int(getattr(args, "max_completion_length", 0))
    kinds: dict[tuple[tuple[str, str], ...], Asks] = {}
    ids: set[str] = set()
    for prompt, asks, row in _all(ours):
        key = tuple((message["role"], message["content"]) for message in prompt)
        before = kinds.get(key, "unknown")
        clash = before != asks and "unknown" not in (before, asks)
        kinds[key] = "unknown" if clash else asks if before == "unknown" else before
        ids |= set(row.get("feedback_ids", ()))
    found, left_out = [], 0
    for key, asks in kinds.items():
        prompt = [{"role": role, "content": content} for role, content in key]
        if _fits(tokenizer, prompt, room):
            found.append({"prompt": prompt, "asks": asks})
        else:
            left_out += 1
    if len(found) < 2 or left_out > ours.most_lost * len(kinds):
        raise BadInput(
            f"{left_out} of {len(kinds)} questions are too long or hold control tokens, and {len(found)} are left",
            "a model learns nothing from so little, or from those alone that are easy to ask",
            "collect more ratings, name `chats`, or raise max_length or most_lost",
        )
    counts = Counter(str(row["asks"]) for row in found)
    return Asked(rows=spread(found, args.seed), left_out=left_out, feedback_ids=tuple(sorted(ids)), counts=counts)


def _all(ours: Earning) -> Iterator[tuple[list[dict[str, str]], Asks, dict[str, Any]]]:
    """Yield each question with what it asks for and its row: of the snapshot, then of the data set beside it."""
    for part in (PAIRS, SINGLE, CHATS):
        folder = Path(ours.data) / part
        if part != CHATS and not folder.is_dir():
            raise BadInput(f"{ours.data} holds no {part}", "it is no preference data", "see `agri data preferences`")
        if folder.is_dir():
            yield from _of_folder(folder, ours)
    if ours.chats:
        yield from _of_folder(Path(ours.chats), ours)


def _of_folder(folder: Path, ours: Earning) -> Iterator[tuple[list[dict[str, str]], Asks, dict[str, Any]]]:
    preflight.check_manifest(folder, unchecked=ours.unchecked_data)
    file = folder / "train.jsonl"
    if not file.is_file():
        raise BadInput(f"{folder} has no train.jsonl", "no question can be read from it", "make the data again")
    for _, row in rows.objects(file) if file.stat().st_size else ():
        messages = row.get("messages")
        if messages and messages[-1]["role"] == "assistant":
            yield list(messages[:-1]), OF_KIND.get(str(row.get("kind")), asks_of(messages[-1]["content"])), row
        elif row.get("prompt"):
            better = row.get("chosen") or (row.get("completion") if row.get("label") else None)
            yield list(row["prompt"]), asks_of(better[0]["content"]) if better else "unknown", row


def asks_of(better: str) -> Asks:
    """Return what a question asks for by an answer that experts find right."""
    if rewards.refuses(better):
        return "unanswerable"
    return "unclear" if rewards.asks_back(better) else "answerable"


def _fits(tokenizer: Any, prompt: list[dict[str, str]], room: int) -> bool:
    """Whether a question leaves room for an answer, and is written in the same tokens as when answering."""
    if not prompt:
        return False
    ids = chat_template.ids(tokenizer, prompt, to_answer=True)
    return len(ids) <= room and ids == list(tokenizer.apply_chat_template(prompt, add_generation_prompt=True)["input_ids"])


def spread(found: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Return rows in an order drawn once in which each kind is spread evenly: every stretch has the shares of the whole."""
    random, placed = Random(seed), []
    for kind in sorted({row["asks"] for row in found}):
        some = [row for row in found if row["asks"] == kind]
        random.shuffle(some)
        placed += [((at + random.random()) / len(some), kind, row) for at, row in enumerate(some)]
    return [row for _, _, row in sorted(placed, key=lambda each: each[:2])]
