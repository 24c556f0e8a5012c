"""The documents that rows are made of, and the assistant that answers from passages somebody chose for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from random import Random

import regex

from agri_llm import prompts, questions, sentences
from agri_llm.assistant import Assistant
from agri_llm.language.brief import Brief
from agri_llm.language.composer import Composer
from agri_llm.records import Answer, Hit, Message, Passage, Question
from knowledge_base.terms import Found, Glossary
from training import examined

NEAR = 0.5  # share of the distractors that are about the same crop or the same kind of problem: these are hard to tell apart
REMEMBERED = (
    20_000  # texts whose terms are kept: passages come back in many rows, and finding their terms takes most of the time
)
_MARK = regex.compile(r"\[(\d{1,3})\]")


class RememberingGlossary(Glossary):
    """The glossary, with what it found in texts it has met before."""

    def __init__(self, glossary: Glossary) -> None:
        """Take over the terms of a glossary."""
        self.__dict__.update(vars(glossary))
        self._met: dict[tuple[str, frozenset[str] | None], list[Found]] = {}

    def find(self, text: str, kinds: Collection[str] | None = None) -> list[Found]:
        """Return the terms of a text, as the glossary does."""
        key = (text, None if kinds is None else frozenset(kinds))
        if key not in self._met:
            if len(self._met) >= REMEMBERED:
                self._met.clear()
            self._met[key] = super().find(text, kinds)
        return self._met[key]


@dataclass(frozen=True, kw_only=True)
class Library:
    """Documents cut into passages, and the glossary; everything here is the same on every run."""

    documents: dict[str, list[Passage]]
    examined: frozenset[str] = frozenset()  # ids of passages that a model is examined on
    glossary: Glossary = field(default_factory=lambda: RememberingGlossary(Glossary.load()))

    @classmethod
    def of(cls, passages: Iterable[Passage], languages: Sequence[str], tests: Iterable[Path] = ()) -> Library:
        """Sort passages by document; those in other languages are left out. `tests` are files with evaluation cases."""
        documents: dict[str, list[Passage]] = {}
        for passage in passages:
            if passage.language in languages:
                documents.setdefault(passage.document_id, []).append(passage)
        return cls(documents=documents, examined=examined.passages(tests, documents.values()))

    @cached_property
    def _languages(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for document, passages in self.documents.items():
            found.setdefault(passages[0].language, []).append(document)
        return found

    def group(self, document: str, gold: Iterable[Passage] = ()) -> str:
        """Return the document that this one says in another language, or itself: both stand on one side of the split.

        What is asked of passages that a model is examined on is a group of its own.
        """
        sheet = self.documents[document][0].twin_of or document
        return sheet + examined.MARK if any(passage.id in self.examined for passage in gold) else sheet

    def unexamined(self, passages: Iterable[Passage]) -> list[Passage]:
        """Return the passages that may stand in a row of any side."""
        return [passage for passage in passages if passage.id not in self.examined]

    def distractors(
        self,
        document: str,
        count: int,
        random: Random,
        unfit: Callable[[Passage], bool] = lambda _: False,
        near: float = NEAR,
    ) -> list[Passage]:
        """Return passages of other documents in the same language, a share of them `near` in what they are about.

        `unfit` names passages that may not be among them; those that a model is examined on never are.
        """
        own = self.documents[document][0]
        others = [one for one in self._languages[own.language] if self.group(one) != self.group(document)]
        alike = [one for one in others if self._near(own, self.documents[one][0])]
        found: dict[str, Passage] = {}
        for attempt in range(20 * count):
            if len(found) == count or not others:
                break
            pool = alike if alike and len(found) < near * count and attempt < 10 * count else others
            passage = random.choice(self.documents[random.choice(pool)])
            if passage.id not in self.examined and not unfit(passage):
                found[passage.text] = passage
        return list(found.values())

    @staticmethod
    def _near(one: Passage, other: Passage) -> bool:
        crops = set(one.crop) & set(other.crop) - {"any"}
        return bool(crops) or (one.topic[:1] == other.topic[:1] and bool(one.topic))

    def named(self, text: str, kinds: Sequence[str]) -> set[str]:
        """Return the ids of what a text names, of some kinds."""
        return {found.term.id for found in self.glossary.find(text, kinds)}

    def answer(
        self, question: Question, gold: Sequence[Passage], others: Sequence[Passage], said: Sequence[str] = ()
    ) -> Answer:
        """Let the assistant answer as if a search had found these passages: it may use those of `gold`, and sees the others.

        With `said`, these sentences about the first passage are what its writer writes. Everything the assistant checks, it
        checks: the answer may be a question back or a refusal.
        """
        hits = [
            *(_hit(passage, 0.9 - 0.01 * place) for place, passage in enumerate(gold)),
            *(_hit(passage, 0.3) for passage in others),
        ]

        def search(
            query: str, k: int = 10, *, crop: tuple[str, ...] | None = None, language: str | None = None, english: str = ""
        ) -> list[Hit]:
            return hits

        writer = _Writer(len(gold), tuple(said))
        return Assistant(search=search, model=writer, glossary=self.glossary).answer(question)

    def request(self, question: Question, shown: Sequence[Passage]) -> tuple[Message, ...]:
        """Return the request that a model is sent when these passages are found, as serving sends it."""
        understood = questions.understand(question, self.glossary)
        return prompts.answer_messages(question, understood, [_hit(passage, 0.5) for passage in shown])


def cited_as_shown(answer: Answer, shown: Sequence[Passage]) -> str:
    """Return an answer with the numbers that its passages have in a request, where each was counted by its own citations."""
    places = {passage.id: place for place, passage in enumerate(shown, start=1)}
    text: str = _MARK.sub(lambda found: f"[{places[answer.citations[int(found[1]) - 1].passage.id]}]", answer.text)
    once: str = regex.sub(r"(\[\d+\])\1+", r"\1", text)
    return once


def _hit(passage: Passage, score: float) -> Hit:
    near = (score,) * len(sentences.split(passage.text))
    return Hit(passage=passage, score=score, words=score, meaning=score, sentences=near)


@dataclass(frozen=True)
class _Writer:
    """Composes from the first passages alone, or says what it was given to say."""

    gold: int
    said: tuple[str, ...]
    name: str = "composer"
    adapter: str | None = None

    def stream(self, brief: Brief) -> Iterator[str]:
        if self.said:
            yield from (f"{line}[1]\n" for line in self.said)
        else:
            yield from Composer().stream(replace(brief, hits=brief.hits[: self.gold]))
