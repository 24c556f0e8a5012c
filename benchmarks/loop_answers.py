"""Part 1 of the loop: questions about our sheets that are short enough, and what the model itself answers to each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import regex
import torch
from loop_plan import Plan

from agri_llm.judgements import Material
from agri_llm.language import chat_template
from agri_llm.prompts import REFUSAL_MARK
from agri_llm.records import Answer, Citation, Message
from knowledge_base import shipped
from training import as_taught, chain_answers, document_questions, finished, material_file, simulated
from training.finished import Finished
from training.gate_steps import read_answers
from training.library import Library
from training.rows import identity, write_json

TEMPERATURES = (0.0, 0.3, 0.7)  # the first is the likeliest answer; a model this small falls apart above
TOGETHER = 32  # answers written at once: more of them are no faster on one core
REFERENCES, OWN = "references.jsonl", "own"
_MARK = regex.compile(r"\[(\d{1,3})\]")


class Writer:
    """A finished run, merged into its base as `agri export` writes it, that answers many requests at once."""

    def __init__(self, run: Finished) -> None:
        """Take a run; it is loaded when it is first asked."""
        self.run = run
        self.tokenizer, self.stops = finished.tokenizer(run.tokenizer_from)
        self.tokenizer.pad_token = self.tokenizer.pad_token or self.tokenizer.eos_token

    @cached_property
    def model(self) -> Any:
        """The model in single precision."""
        return finished.merged(self.run)

    def length(self, messages: Sequence[Message]) -> int:
        """Return how many tokens a request has."""
        return len(chat_template.ids(self.tokenizer, messages, to_answer=True))

    def answer(
        self, asked: Mapping[str, Sequence[Message]], file: Path, tokens: int, plan: Plan, temperature: float = 0.0
    ) -> None:
        """Answer requests by name, sorted by length, each batch kept at once; what was answered before is not asked again."""
        known = read_answers(file)
        left = sorted((name for name in asked if name not in known), key=lambda name: (self.length(asked[name]), name))
        for start in range(0, len(left), TOGETHER):
            some = left[start : start + TOGETHER]
            torch.manual_seed(int(identity(str(plan.sizes.seed), str(temperature), *some), 16) % 2**31)
            written = chain_answers.write(self.model, self.tokenizer, [asked[name] for name in some], tokens, temperature)
            with file.open("a", encoding="utf-8") as kept:
                for name, text in zip(some, written, strict=True):
                    kept.write(json.dumps({"prompt": name, "answer": text}, ensure_ascii=False) + "\n")
            plan.tell(f"{file.stem}: {len(known) + start + len(some)} of {len(asked)} answered")


def library() -> Library:
    """Return our sheets, English and Chinese."""
    return Library.of(shipped.sheets(), ("en", "zh"))


def references(plan: Plan, writer: Writer, wanted: int) -> list[Answer]:
    """Return the assistant's answers to so many different questions whose request and answer are short enough."""
    sheets = library()
    asked = [(document, one) for document in sheets.documents for one in document_questions.of(sheets, document)]
    Random(plan.sizes.seed).shuffle(asked)
    found: dict[str, Answer] = {}
    for document, one in asked:
        if len(found) == wanted:
            break
        if one.kind != "grounded" or len(one.gold) > 1:
            continue
        answer = simulated.answer(sheets, document, one, (0, 0))
        if answer is not None and as_taught.group_of(answer) not in found and _fits(answer, plan, writer):
            found[as_taught.group_of(answer)] = answer
    return list(found.values())


def _fits(answer: Answer, plan: Plan, writer: Writer) -> bool:
    said = writer.tokenizer(as_taught.taught(answer), add_special_tokens=False)["input_ids"]
    return len(said) < plan.sizes.answer and writer.length(as_taught.request_of(answer)) <= plan.sizes.prompt


def write(plan: Plan, writer: Writer, out: Path) -> dict[str, Any]:
    """Keep the questions with the assistant's answers, and what the model answers, once for each temperature."""
    found = references(plan, writer, plan.sizes.ratings)
    material_file.write(out / REFERENCES, Material(answers={answer.id: answer for answer in found}))
    asked = {answer.id: as_taught.request_of(answer) for answer in found}
    for number, temperature in enumerate(TEMPERATURES):
        writer.answer(asked, out / f"{OWN}-{number}.jsonl", plan.sizes.answer, plan, temperature)
    known = read(out)
    usable = [sum(usable_of(answer) for answer in own) for _, own in known]
    unlike = [len({answer.text for answer in own}) > 1 for _, own in known]
    return {
        "questions": len(found),
        "answers": sum(len(own) for _, own in known),
        "usable": sum(usable),
        "questions with a usable one": sum(number > 0 for number in usable),
        "questions with unlike ones": sum(unlike),
    }


def read(out: Path) -> list[tuple[Answer, list[Answer]]]:
    """Return each question's reference answer with the model's own answers, in the order of the ids."""
    found = material_file.read(out / REFERENCES).answers
    own = [read_answers(out / f"{OWN}-{number}.jsonl") for number in range(len(TEMPERATURES))]
    return [
        (answer, [own_answer(answer, each[name], at) for at, each in enumerate(own)]) for name, answer in sorted(found.items())
    ]


def own_answer(reference: Answer, text: str, number: int) -> Answer:
    """Return a text of the model as an answer to the same question; its marks are those of the request."""
    shown = reference.passages
    marks = sorted({int(mark) for mark in _MARK.findall(text)})
    cited = tuple(Citation(number=n, passage=shown[n - 1], quote=shown[n - 1].text) for n in marks if 1 <= n <= len(shown))
    kind = "refusal" if text.strip().rstrip(".") == REFUSAL_MARK else "advice"
    return replace(reference, id=f"{reference.id}-own{number}", text=text, citations=cited, kind=kind, model="own")


def usable_of(answer: Answer) -> bool:
    """Whether every sentence of an answer is carried by its passage, so that it could be taught."""
    return not as_taught.problem_of(answer, as_taught.taught(answer))


def sample(out: Path, number: int = 6) -> None:
    """Write a few questions with all answers side by side, for people who want to see what was rated."""
    chosen = Random(0).sample(read(out), min(number, len(read(out))))
    rows = [
        {"question": ref.question.text, "assistant": as_taught.taught(ref), "model": [each.text for each in own]}
        for ref, own in chosen
    ]
    write_json(out / "sample.jsonl", rows)
