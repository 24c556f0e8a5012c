"""A question in, a checked and cited answer out: the order of the steps, nothing else."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Protocol

import regex

from agri_llm import photo_questions, prompts, questions, safety, sentences
from agri_llm.errors import RequestTooLong
from agri_llm.judgements import SignedAnswer
from agri_llm.language.brief import Brief, LanguageModel
from agri_llm.phrases import phrase
from agri_llm.questions import Glossary, Understood
from agri_llm.records import Answer, Citation, Diagnosis, Hit, Kind, Passage, Question, Sentence, Step, new_id

HITS = 60  # so that every section of the best sheet is among them, beside the like sections of other sheets
READ_HITS = 12  # as many are put before a language model, and kept with the answer beside those cited
NAMED = frozenset({"disease", "pest", "nutrient", "input"})  # beside crops: what a sentence may not exchange
Event = Step | Sentence | Answer
_NOTES = regex.compile(r"<(evidence|think)>.*?</\1>", regex.DOTALL | regex.IGNORECASE)
_NOTES_BEGUN = regex.compile(r"<(?:evidence|think)>.*|<[a-z]{0,8}$", regex.DOTALL | regex.IGNORECASE)  # to the end of what came


class Search(Protocol):
    """Finds passages; `KnowledgeBase.search` is one."""

    def __call__(
        self, query: str, k: int = 10, *, crop: tuple[str, ...] | None = None, language: str | None = None, english: str = ""
    ) -> list[Hit]:
        """Return up to k hits, best first; `crop` keeps passages about one of these crops, or about any.

        With a `language` only its passages; `english` says in English what a query in another language asks.
        """


@dataclass(frozen=True, kw_only=True)
class Assistant:
    """Answers questions from passages; safe to share between threads when its parts are.

    `index_hash` names the version of the passages in use. `expert` is whom to ask, in the operator's words.
    `signed` finds the answer that an expert signed for a question.
    `diagnose` says what the photos of a question show, `subject_of` what to look for then, in a language.
    """

    search: Search
    model: LanguageModel
    glossary: Glossary
    index_hash: Callable[[], str] = lambda: ""
    diagnose: Callable[[Question], Diagnosis] | None = None
    subject_of: Callable[[str, str], str] = lambda label, _: label.replace("_", " ")
    signed: Callable[[Question], SignedAnswer | None] | None = None
    expert: str = ""
    examples: bool = False
    step_by_step: bool = False

    def answer(self, question: Question) -> Answer:
        """Return the whole answer. A clarification or refusal is an answer too; raises ModelError, KnowledgeError."""
        answer: Answer | None = None
        for event in self.stream(question):
            if isinstance(event, Answer):
                answer = event
        assert answer is not None  # stream always ends with an Answer
        return answer

    def pinned(self, question: Question) -> Assistant:
        """Return the assistant whose writer stays the same from the begin of an answer to its end."""
        pinned = getattr(self.model, "pinned", None)
        return self if pinned is None else replace(self, model=pinned(question.conversation))

    def stream(self, question: Question) -> Iterator[Event]:
        """Yield steps, then checked sentences as they are written, and last the whole `Answer`.

        Closing the generator early stops the writing; what was shown can be kept with `partial_answer`.
        """
        steady = self.pinned(question)
        if steady is not self:
            yield from steady.stream(question)
            return
        clock = _Clock()
        problem = safety.input_problem(question.text)
        if problem and not (problem == "empty" and question.photos):
            yield self._problem(question, problem, clock)
            return
        diagnosis, asked = None, question
        if question.photos and self.diagnose:
            yield Step(name="photo")
            diagnosis = self.diagnose(question)
            clock.lap("photo")
            said = questions.understand(question, self.glossary) if question.text.strip() else None
            subject = self.subject_of(diagnosis.label, questions.language_of(question.text, question.language))
            asked = photo_questions.in_words(question, diagnosis, subject, said.intent if said else "identify")
        understood = photo_questions.careful(questions.understand(asked, self.glossary), diagnosis)
        useless = photo_questions.problem(diagnosis) if diagnosis else ""
        if useless and not (understood.problems or understood.signs):
            answer = self._plain(question, "clarification", phrase(understood.language, useless), clock)
            yield replace(answer, diagnosis=diagnosis, missing=("photo",))
            return
        missing = safety.missing_details(understood)
        if missing:
            yield replace(self._clarify(question, understood, missing, clock), diagnosis=diagnosis)
            return
        vouched = self._vouched(question, understood, clock)
        if vouched:
            yield vouched
            return
        yield Step(name="search")
        hits = photo_questions.without_chemicals(self.hits_for(understood), diagnosis)
        clock.lap("search")
        reason = self._weak(understood, hits)
        if reason:
            yield replace(self._refuse(question, understood, reason, hits, clock), diagnosis=diagnosis)
            return
        if safety.crops_disagree(understood, hits):
            yield replace(self._clarify(question, understood, ("crop",), clock), diagnosis=diagnosis)
            return
        yield Step(name="write")
        yield from self._write(question, understood, diagnosis, hits, clock)

    def _write(
        self, question: Question, understood: Understood, diagnosis: Diagnosis | None, hits: list[Hit], clock: _Clock
    ) -> Iterator[Event]:
        brief, read, pieces = self.begin_writing(question, understood, diagnosis, hits)
        passages = tuple(hit.passage for hit in hits)
        shown: list[Sentence] = []
        seen: set[str] = set()
        for written in _sentences_of(pieces):
            sentence = self._checked(written, passages, number=1 + sum(len(earlier.citations) for earlier in shown))
            if sentence is None or sentence.citations[0].quote in seen:
                continue
            seen.update(citation.quote for citation in sentence.citations)
            if not shown:
                clock.lap("first_sentence")
            shown.append(sentence)
            yield sentence
        clock.lap("write")
        if not shown:
            yield replace(self._refuse(question, understood, "unchecked", hits, clock), diagnosis=diagnosis)
            return
        answer = partial_answer(question, shown, complete=True)
        cited = [citation.passage for citation in answer.citations]
        kept = tuple(dict.fromkeys((*passages[:read], *cited)))
        told = replace(answer, diagnosis=diagnosis, passages=kept, messages=brief.messages)
        yield self.stamped(replace(told, timings_ms=clock.total()))

    def begin_writing(
        self, question: Question, understood: Understood, diagnosis: Diagnosis | None, hits: list[Hit]
    ) -> tuple[Brief, int, Iterator[str]]:
        """Return what the model is asked about hits, how many of them it reads, and the pieces of what it writes.

        Where it cannot read so many passages the last ones are left out. Raises ModelError.
        """
        query = understood.query
        if hits[0].passage.language != understood.language:  # sentences in English are compared with the question in English
            query = questions.in_english(understood, self.glossary) or query
        for read in range(min(READ_HITS, len(hits)), 0, -1):
            messages = prompts.answer_messages(
                question,
                understood,
                hits[:read],
                diagnosis=diagnosis,
                examples=self.examples,
                step_by_step=self.step_by_step,
            )
            brief = Brief(question=question, intent=understood.intent, hits=tuple(hits), messages=messages, query=query)
            pieces = iter(self.model.stream(brief))
            try:
                return brief, read, chain([next(pieces, "")], pieces)
            except RequestTooLong:
                if read == 1:
                    raise
        raise AssertionError("there is at least one hit")

    def _vouched(self, question: Question, understood: Understood, clock: _Clock) -> Answer | None:
        """Return the signed answer to a question that stands by itself, unless a sentence of it no longer passes."""
        if self.signed is None or question.photos:
            return None
        if question.follows and understood != questions.understand(replace(question, follows=None), self.glossary):
            return None
        crop = question.crop or (understood.crops[0] if len(understood.crops) == 1 else None)
        found = self.signed(replace(question, crop=crop))
        if found is None or self.unsupported(found.answer):
            return None
        clock.lap("signed")
        kept, until = found.answer, found.expires_at
        vouched = replace(kept, id=new_id(), question=question, model="signed", timings_ms=clock.total())
        return replace(vouched, signed_by=found.signer_name, signed_until=until)

    def unsupported(self, answer: Answer) -> tuple[str, ...]:
        """Return the sentences of an answer that its cited passages do not carry; before signing and before serving."""
        return tuple(sentence for sentence, _ in self.objections(answer))

    def objections(self, answer: Answer) -> tuple[tuple[str, safety.Reason], ...]:
        """Return the sentences of an answer that may not be shown, each with the reason."""
        cited = {citation.number: citation.passage for citation in answer.citations}
        nothing = Passage(id="", document_id="", title="", text="")
        passages = tuple(cited.get(number, nothing) for number in range(1, max(cited, default=0) + 1))
        checked = (
            (span.text, safety.check_sentence(span.text, passages, self._names)) for span in sentences.split(answer.text)
        )
        return tuple((text, result) for text, result in checked if not isinstance(result, safety.Supported))

    def _checked(self, written: str, passages: tuple[Passage, ...], number: int) -> Sentence | None:
        result = safety.check_sentence(written, passages, self._names)
        if not isinstance(result, safety.Supported):
            return None
        citations = tuple(
            Citation(number=number + offset, passage=passage, quote=quote)
            for offset, (passage, quote) in enumerate(result.quotes)
        )
        return Sentence(text=result.text + "".join(f"[{citation.number}]" for citation in citations), citations=citations)

    def _names(self, text: str) -> set[str]:
        found = self.glossary.find(text, NAMED | {"farming"})
        named = {one.term.id for one in found if one.term.kind != "farming"}
        # All active ingredients are one entry of the glossary, so each counts by its own name.
        ingredients = {text[one.start : one.end].lower() for one in found if one.term.id == "active-ingredient"}
        return named | ingredients | set(self.glossary.crops(text))

    def hits_for(self, understood: Understood) -> list[Hit]:
        """Search in the asker's language; where that finds too little, in all of them with the glossary's English names.

        Added names cost a point of R@1 on English questions that need none (docs/benchmarks.md), so they come second there too.
        """
        crops, query, language = understood.crops or None, understood.query, understood.language
        if language == "en":
            other, english = self.glossary.expand(query), ""
            hits = self.search(query, HITS, crop=crops)
        else:
            other = english = questions.in_english(understood, self.glossary)
            hits = self.search(query, HITS, crop=crops, language=language, english=english)
        if other in ("", query) or safety.evidence(hits, understood.intent) >= safety.EVIDENCE_FLOOR:
            return hits
        others = self.search(other, HITS, crop=crops, english=english)
        if language != "en" and hits:  # what stands in the asker's language too has been found, or not, by the own words
            own = self.search(query, 10 * HITS, crop=crops, language=language, english=english)
            twins = {hit.passage.twin_of for hit in own}
            others = [hit for hit in others if hit.passage.document_id not in twins]
            return others if safety.evidence(others, understood.intent) >= safety.EVIDENCE_FLOOR else hits
        return max(hits, others, key=lambda found: safety.evidence(found, understood.intent))

    def _weak(self, understood: Understood, hits: list[Hit]) -> str | None:
        if safety.dose_without_label(understood, hits):
            return "dose" if understood.about_farming else "off_topic"
        if safety.evidence(hits, understood.intent) >= safety.EVIDENCE_FLOOR and not self._unseen(understood, hits):
            return None
        if not understood.about_farming:
            return "off_topic"
        return "weak_crop" if understood.crops else "weak"

    def _unseen(self, understood: Understood, hits: list[Hit]) -> bool:
        """Whether the passages miss what the question turns on: its price, its crop, its signs or its problem."""
        problems = understood.problems if understood.intent in ("act", "when", "amount", "prevent") else ()
        named = [self.glossary.name(problem, "en") for problem in problems]
        about = safety.about(hits)
        texts = [hit.passage.text for hit in hits[:READ_HITS]]
        return (
            safety.price_unknown(understood, hits)
            or safety.crop_unseen(understood, hits, self._named(texts, {"crop"}))
            or safety.signs_unseen(understood, self._named(texts[:5], {"sign"}))
            or (not set(problems) & self._named(about, questions.PROBLEM_KINDS) and safety.problems_unseen(named, about))
        )

    def _named(self, texts: list[str], kinds: Collection[str]) -> set[str]:
        """Ids of the glossary entries of these kinds that texts name."""
        return {mention.term.id for text in texts for mention in self.glossary.find(text, kinds)}

    def _problem(self, question: Question, problem: str, clock: _Clock) -> Answer:
        language = questions.language_of(question.text, question.language)
        text = phrase(language, problem, length=f"{len(question.text):,}", limit=f"{questions.MAX_CHARACTERS:,}")
        return self._plain(question, "refusal", text, clock)

    def _clarify(self, question: Question, understood: Understood, missing: tuple[str, ...], clock: _Clock) -> Answer:
        language = understood.language
        asked = [phrase(language, f"ask_{detail}") for detail in missing]
        if language == "zh":  # written without spaces
            asked = [f"（{at}）{detail}" for at, detail in enumerate(asked, start=1)] if len(asked) > 1 else asked
            text = "".join((phrase(language, "ask"), *asked))
        else:
            asked = [f"({at}) {detail}" for at, detail in enumerate(asked, start=1)] if len(asked) > 1 else asked
            text = " ".join((phrase(language, "ask"), *asked))
        return replace(self._plain(question, "clarification", text, clock), missing=missing)

    def _refuse(self, question: Question, understood: Understood, reason: str, hits: list[Hit], clock: _Clock) -> Answer:
        language = understood.language
        crops = ", ".join(self.glossary.name(crop, language) for crop in understood.crops)
        parts = [phrase(language, reason, crop=crops)]
        if reason != "off_topic":
            topics = list(dict.fromkeys(hit.passage.title for hit in hits[:6] if hit.passage.title))[:3]
            if topics and reason != "unchecked":
                parts.append(phrase(language, "nearest", topics=("；" if language == "zh" else "; ").join(topics)))
            parts.append(phrase(language, "whom", expert=self.expert or phrase(language, "expert")))
        answer = self._plain(question, "refusal", (" " if language != "zh" else "").join(parts), clock)
        return replace(answer, passages=tuple(hit.passage for hit in hits[:READ_HITS]))

    def _plain(self, question: Question, kind: Kind, text: str, clock: _Clock) -> Answer:
        return self.stamped(Answer(question=question, kind=kind, text=text, timings_ms=clock.total()))

    def stamped(self, answer: Answer) -> Answer:
        """Return the answer with everything that is needed to make it again: model, adapter, hashes of index and prompt."""
        return replace(
            answer,
            model=self.model.name,
            adapter=self.model.adapter,
            index_hash=self.index_hash(),
            prompt_hash=prompts.PROMPT_HASH,
        )


def partial_answer(question: Question, shown: list[Sentence], *, complete: bool = False) -> Answer:
    """Return the advice made of the sentences shown so far, for keeping when a person pressed stop."""
    return Answer(
        question=question,
        kind="advice",
        text=join(shown),
        citations=tuple(citation for sentence in shown for citation in sentence.citations),
        complete=complete,
    )


def join(shown: list[Sentence]) -> str:
    """Join sentences to the text people read: steps (bullets) on lines of their own, the rest as paragraphs."""
    text = ""
    for before, sentence in zip([None, *shown], shown, strict=False):
        is_step = sentence.text.startswith("- ")
        was_step = before is not None and before.text.startswith("- ")
        if before is None:
            gap = ""
        elif is_step and was_step:
            gap = "\n"
        elif is_step != was_step:
            gap = "\n\n"
        else:
            gap = " "
        text += gap + sentence.text
    return text


def _sentences_of(pieces: Iterator[str]) -> Iterator[str]:
    """Turn a text that arrives in pieces into whole sentences; working notes between <evidence> marks are left out."""
    buffer = ""
    with contextlib.closing(pieces) if hasattr(pieces, "close") else contextlib.nullcontext():  # type: ignore[type-var]
        for piece in pieces:
            text = _NOTES.sub("\n", buffer + piece)
            notes = _NOTES_BEGUN.search(text)
            text, held = (text[: notes.start()], text[notes.start() :]) if notes else (text, "")
            done, rest = sentences.take_complete(text)
            buffer = rest + held
            yield from done
    last = _NOTES_BEGUN.sub("", buffer).strip()
    if last:
        yield last


@dataclass
class _Clock:
    """Milliseconds since the question came in, by step."""

    started: float = field(default_factory=time.perf_counter)
    last: float = field(default_factory=time.perf_counter)
    laps: dict[str, float] = field(default_factory=dict)

    def lap(self, step: str) -> None:
        now = time.perf_counter()
        since = self.started if step == "first_sentence" else self.last
        self.laps[step] = (now - since) * 1000
        if step != "first_sentence":
            self.last = now

    def total(self) -> dict[str, float]:
        return {**self.laps, "total": (time.perf_counter() - self.started) * 1000}
