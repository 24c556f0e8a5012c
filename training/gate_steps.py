"""What the gate rests on, gathered: held-out questions, what both models write to them, what is wrong with contract or data."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from agri_llm.errors import AgriError
from agri_llm.language import contract
from agri_llm.records import Message
from training import adapt, align, finished, gate, guards, held_out, judging, preferences, rewards, rows
from training import contract as contracts
from training.evaluate import Outcome
from training.finished import Finished
from training.gate import Evidence
from training.judging import ExpertPair
from training.preferences import PAIRS, SINGLE, Snapshot
from training.progress import Tell
from training.rows import identity

ANSWERS = "answers.jsonl"
JUDGE = "our own checks (sentences carried, marks, repetition, length)"
MERGED = 0.02  # share of the loss that merging may cost: more, and the file that others serve is another model


@dataclass(frozen=True, kw_only=True)
class Held:
    """Questions of the test side by an id, with their groups, and the experts' pairs for fitting a judge and for judging it."""

    prompts: Mapping[str, tuple[Message, ...]]
    groups: Mapping[str, str]
    fitting: tuple[ExpertPair, ...]
    judged: tuple[ExpertPair, ...]


def questions(snapshot: Snapshot, most: int) -> Held:
    """Return what the test side asks, at most so many questions, and the experts' pairs of validation and test."""
    prompts: dict[str, tuple[Message, ...]] = {}
    groups: dict[str, str] = {}
    for part in (PAIRS, SINGLE):
        for row in _rows(snapshot.folder / part / "test.jsonl"):
            name = identity("prompt", json.dumps(row["prompt"], ensure_ascii=False))
            prompts[name], groups[name] = tuple(row["prompt"]), row["group"]
    kept = sorted(prompts)[:most]  # their names are hashes, so this is a draw
    return Held(
        prompts={name: prompts[name] for name in kept},
        groups={name: groups[name] for name in kept},
        fitting=tuple(_pairs(snapshot, "validation")),
        judged=tuple(_pairs(snapshot, "test")),
    )


def _rows(file: Path) -> Iterable[dict[str, Any]]:
    return (row for _, row in rows.objects(file)) if file.stat().st_size else ()


def _pairs(snapshot: Snapshot, side: str) -> Iterable[ExpertPair]:
    for row in _rows(snapshot.folder / PAIRS / f"{side}.jsonl"):
        chosen, rejected = (row[name][0]["content"] for name in ("chosen", "rejected"))
        yield ExpertPair(group=row["group"], messages=tuple(row["prompt"]), chosen=chosen, rejected=rejected)


def answer(held: Held, write: Callable[[Sequence[Message]], str], file: Path, tell: Tell) -> int:
    """Let a model answer every question, each kept at once; returns how many are there."""
    known = read_answers(file)
    left = [name for name in held.prompts if name not in known]
    for number, name in enumerate(left, start=1):
        text = write(held.prompts[name])
        with file.open("a", encoding="utf-8") as kept:
            kept.write(json.dumps({"prompt": name, "answer": text}, ensure_ascii=False) + "\n")
        if number % 25 == 0 or number == len(left):
            tell(f"{len(known) + number} of {len(held.prompts)} questions answered")
    return len(held.prompts)


def read_answers(file: Path) -> dict[str, str]:
    """Return answers by question; a line that was cut while it was written is left out, and asked again."""
    found: dict[str, str] = {}
    for line in file.read_text(encoding="utf-8").split("\n") if file.is_file() else ():
        try:
            said = json.loads(line)
            found[said["prompt"]] = said["answer"]
        except (ValueError, KeyError, TypeError):
            continue
    if file.is_file():  # take a cut line away, even the only one, so that the next begins on its own
        rows.write_json(file, ({"prompt": name, "answer": text} for name, text in found.items()))
    return found


def evidence(
    held: Held,
    *,
    candidate: Mapping[str, str],
    current: Mapping[str, str],
    outcomes: tuple[Sequence[Outcome], Sequence[Outcome]],
    contract: Sequence[str],
    data: Sequence[str],
) -> Evidence:
    """Return what the gate decides on; our own checks judge, as far as they agree with the experts' held-out pairs."""
    judge = judging.calibrated(JUDGE, _worth, held.fitting, held.judged)
    compared = [
        judge.compare(held.groups[name], messages, candidate[name], current[name])
        for name, messages in held.prompts.items()
        if name in candidate and name in current
    ]
    watched, lost, safety = guards.compared(*outcomes)
    return gate.Evidence(
        comparisons=compared,
        judge=judge.described(),
        may_judge=judge.may_judge,
        guards=watched,
        lost=lost,
        safety=safety,
        contract=tuple(contract),
        data=tuple(data),
    )


def _worth(messages: Sequence[Message], text: str) -> float:
    return rewards.judge(messages, text).reward


def contract_problems(candidate: Finished) -> list[str]:
    """Say what is wrong with serving a candidate: another base or template, other words than before, or once merged."""
    try:
        tokenizer, stops = finished.tokenizer(candidate.base)
        contract.check(candidate.learned, candidate.base, tokenizer, stops)
        model = finished.as_trained(candidate)
        adapt.keep_trainable_layout(model)  # in the numbers of its training: another layout rounds otherwise
        found = []
        if contracts.greedy(model, tokenizer) != candidate.contract.get("greedy"):
            found.append("loaded again it writes other words to the fixed questions than at the end of its training")
        found += _merging(candidate, model, tokenizer, stops)
    except AgriError as error:
        return [str(error)]
    return found


def _merging(candidate: Finished, model: Any, tokenizer: Any, stops: list[int]) -> list[str]:
    file = candidate.folder / align.CHECK
    if not file.is_file():
        return [f"it kept no held-out answers ({align.CHECK}), so nothing shows what merging it into its base costs"]
    some = held_out_rows(file, tokenizer, stops, candidate)
    before = held_out.measure(model, some).value
    del model
    gc.collect()
    merged = finished.merged(candidate)
    if torch.cuda.is_available():
        merged = merged.to("cuda")
    after = held_out.measure(merged, some).value
    if abs(after - before) > MERGED * before:
        return [f"merged into its base it has a held-out loss of {after:.4f} in the place of {before:.4f}"]
    return []


def held_out_rows(file: Path, tokenizer: Any, stops: list[int], candidate: Finished) -> held_out.Rows:
    """Return the held-out rows of a run as tokens."""
    return held_out.read(file, tokenizer, stops, int(candidate.contract.get("max_length") or 2048))


def data_problems(candidate: Finished) -> list[str]:
    """Say what is wrong with the data of a candidate: gone, changed, or others than its record names."""
    about = json.loads((candidate.folder / "run.json").read_text(encoding="utf-8"))
    if candidate.data is None:
        return ["its record names none"]
    try:
        snapshot = preferences.read(candidate.data)
    except AgriError as error:
        return [str(error)]
    said = about.get("data", {}).get("hash")
    return [] if said == snapshot.hash else [f"it learned from {said}, and {candidate.data} is {snapshot.hash}"]
