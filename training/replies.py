"""What is evaluated: how an assistant, or the writer inside it before any check, replies to the cases of a suite."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import regex

from agri_llm import prompts, questions, safety, sentences
from agri_llm.assistant import READ_HITS, Assistant
from agri_llm.records import Hit, Kind, Message, Passage, Question
from training.cases import Case
from training.reply_contract import contract_of

SHEETS_KEPT = 10  # different documents of a search that are kept, best first
_MARKS = regex.compile(r"\s*\[(\d{1,3})\]")


@dataclass(frozen=True, kw_only=True)
class Cited:
    """A sentence of a reply, without its marks, and a passage it points at: the sheet, and the words it rests on.

    `number` is the mark as written; a mark that points nowhere has no sheet.
    """

    sentence: str
    number: int
    sheet: str = ""
    quote: str = ""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came back for a case; `confidence` is how sure the passages carry an answer, `found` the sheets of the search.

    `likelihoods` are the logarithms of the probability of each choice, as a whole.
    """

    kind: Kind
    text: str
    sentences: tuple[str, ...] = ()
    citations: tuple[Cited, ...] = ()
    confidence: float = 0.0
    found: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    likelihoods: tuple[float, ...] = ()

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Reply:
        """Read what `asdict` wrote; raises TypeError or KeyError for another shape."""
        lists = {name: tuple(row[name]) for name in ("sentences", "found", "missing", "likelihoods")}
        return cls(**{**row, **lists, "citations": tuple(Cited(**each) for each in row["citations"])})


class Respondent(Protocol):
    """Something that replies to cases; `contract` changes whenever its replies may."""

    @property
    def contract(self) -> Mapping[str, str]:
        """What decides the replies, by name."""

    def reply(self, case: Case) -> Reply:
        """Reply to a case; raises ModelError, KnowledgeError."""

    def prompt(self, case: Case) -> str:
        """What is asked, as one text; equal texts have equal replies."""


@dataclass(frozen=True)
class Checked:
    """The assistant as people meet it: asks back, refuses, and shows only sentences that passed every check."""

    assistant: Assistant
    weights: str = ""

    @property
    def contract(self) -> Mapping[str, str]:
        """Writer, adapter, their weights, index, prompt and code."""
        return {**contract_of(self.assistant, self.weights), "way": "checked"}

    def prompt(self, case: Case) -> str:
        """The question with what was asked before."""
        return _asked_as_text(case)

    def reply(self, case: Case) -> Reply:
        """Ask the assistant."""
        if case.kind == "choice":
            return weighed(self.assistant, case)
        question = question_of(case)
        answer = self.assistant.answer(question)
        confidence, hits = looked_up(self.assistant, question)
        by_number = {citation.number: citation for citation in answer.citations}
        pieces = _pieces(answer.text)
        cited = tuple(
            Cited(sentence=said, number=number, sheet=sheet_of(by_number[number].passage), quote=by_number[number].quote)
            if number in by_number
            else Cited(sentence=said, number=number)
            for said, numbers in pieces
            for number in numbers
        )
        return Reply(
            kind=answer.kind,
            text=answer.text,
            sentences=tuple(said for said, _ in pieces) if answer.kind == "advice" else (),
            citations=cited if answer.kind == "advice" else (),
            confidence=confidence,
            found=_sheets(hits),
            missing=answer.missing,
        )


@dataclass(frozen=True)
class Unchecked:
    """The writer alone, given the prompt and passages of serving: what it writes before any check drops a sentence."""

    assistant: Assistant
    weights: str = ""

    @property
    def contract(self) -> Mapping[str, str]:
        """Writer, adapter, their weights, index, prompt and code."""
        return {**contract_of(self.assistant, self.weights), "way": "unchecked"}

    def prompt(self, case: Case) -> str:
        """The question with what was asked before."""
        return _asked_as_text(case)

    def reply(self, case: Case) -> Reply:
        """Let the writer write, and read its text: a refusal says so, a question back ends in a question mark."""
        if case.kind == "choice":
            return weighed(self.assistant, case)
        question = question_of(case)
        confidence, hits = looked_up(self.assistant, question)
        text = _written(self.assistant, question, hits)
        pieces = _pieces(text)
        refuses = not text or prompts.REFUSAL_MARK in text
        asks = not refuses and text.endswith(("?", "？", "؟")) and not any(numbers for _, numbers in pieces)
        given = hits[:READ_HITS]
        cited = tuple(
            Cited(sentence=said, number=number, sheet=sheet_of(passage), quote=passage.text)
            if (passage := given[number - 1].passage if 1 <= number <= len(given) else None)
            else Cited(sentence=said, number=number)
            for said, numbers in pieces
            for number in numbers
        )
        kind: Kind = "refusal" if refuses else "clarification" if asks else "advice"
        return Reply(
            kind=kind,
            text=text,
            sentences=tuple(said for said, _ in pieces) if kind == "advice" else (),
            citations=cited if kind == "advice" else (),
            confidence=confidence,
            found=_sheets(hits),
        )


class Weighing(Protocol):
    """A writer that can tell how likely it would write a text; the local model is one."""

    def log_likelihood(self, messages: Sequence[Message], text: str) -> float:
        """Return the natural logarithm of the probability of writing `text` as the reply to a chat."""


def can_weigh(assistant: Assistant) -> bool:
    """Whether the writer can say how likely a text is; the composer and a server cannot."""
    return hasattr(assistant.model, "log_likelihood")


def weighed(assistant: Assistant, case: Case) -> Reply:
    """Reply to a multiple-choice case with the likelihood of every choice as the answer to the bare question."""
    model = cast("Weighing", assistant.model)
    chat: tuple[Message, ...] = ({"role": "user", "content": case.question},)
    found = tuple(model.log_likelihood(chat, choice) for choice in case.choices)
    best = max(range(len(found)), key=lambda at: found[at] / len(case.choices[at].encode()))
    return Reply(kind="advice", text=case.choices[best], likelihoods=found)


def _written(assistant: Assistant, question: Question, hits: list[Hit]) -> str:
    """What the writer says to the prompt of serving."""
    if not hits:
        return ""
    _, _, pieces = assistant.begin_writing(question, questions.understand(question, assistant.glossary), None, hits)
    return "".join(pieces).strip()


def question_of(case: Case) -> Question:
    """Return the question of a case with those before it in the conversation."""
    question: Question | None = None
    for text in (*case.before, case.question):
        question = Question(text=text, crop=case.crop or None, language=case.language, follows=question)
    assert question is not None  # a case has a question
    return question


def looked_up(assistant: Assistant, question: Question) -> tuple[float, list[Hit]]:
    """Return how sure the passages found carry an answer, 0–1, and those passages."""
    if safety.input_problem(question.text):
        return 0.0, []
    understood = questions.understand(question, assistant.glossary)
    hits = assistant.hits_for(understood)
    return safety.evidence(hits, understood.intent), hits


def sheet_of(passage: Passage) -> str:
    """The document of a passage; a translated sheet counts as the one it translates."""
    return passage.twin_of or passage.document_id


def _sheets(hits: list[Hit]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sheet_of(hit.passage) for hit in hits))[:SHEETS_KEPT]


def _pieces(text: str) -> list[tuple[str, list[int]]]:
    """Return the sentences of a text without their marks, each with the numbers of its marks."""
    pieces = []
    for span in sentences.split(text):
        said = _MARKS.sub("", span.text).strip()
        if said:
            pieces.append((said, [int(number) for number in _MARKS.findall(span.text)]))
    return pieces


def _asked_as_text(case: Case) -> str:
    said = [case.language, case.crop, *case.before, case.question, *case.choices]
    return json.dumps(said, ensure_ascii=False)
