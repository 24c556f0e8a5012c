"""An answer that somebody read, as a model is taught it: the request it was written to, and marks that number its passages.

On the page citations are numbered as they come; in a request passages are numbered as they stand there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import regex

from agri_llm import prompts, questions, safety
from agri_llm.content import stems
from agri_llm.personal import scrubbed
from agri_llm.prompts import REFUSAL_MARK
from agri_llm.records import Answer, Hit, Message, Passage
from agri_llm.sentences import take_complete
from knowledge_base.terms import Glossary
from training import places
from training.cleaning import plain
from training.rows import identity

_MARK = regex.compile(r"\[(\d{1,3})\]")
_AGAIN = regex.compile(r"(\[\d+\])\1+")
SIGNED = "signed"  # the model of answers that an agronomist vouched for: none wrote them
NAMED = ("disease", "pest", "input", "crop")


@cache
def glossary() -> Glossary:
    """The names of crops, problems and inputs."""
    return Glossary.load()


def request_of(answer: Answer) -> tuple[Message, ...]:
    """Return the messages that the answer was written to, personal data taken out; () where no passage was read for it.

    They are put together anew from question and passages, so that a place is no finer than a region, and a refusal, which is
    kept without messages, can be learned from too.
    """
    if not answer.passages or answer.model == SIGNED:
        return ()
    question = replace(answer.question, photos=(), place=coarse_place(answer.question.place))
    hits = [Hit(passage=passage, score=1.0) for passage in read_by_the_writer(answer)]
    understood = questions.understand(question, glossary())
    made = prompts.answer_messages(question, understood, hits, diagnosis=answer.diagnosis)
    asked = without_persons(made[-1]["content"].rsplit("\n\nQuestion: ", 1)[-1])
    head = made[-1]["content"].rsplit("\n\nQuestion: ", 1)[0]
    return (*made[:-1], {"role": "user", "content": f"{head}\n\nQuestion: {asked}"})


def read_by_the_writer(answer: Answer) -> tuple[Passage, ...]:
    """Return the passages of the request; a passage that is only cited stands behind them."""
    said = answer.messages[-1]["content"] if answer.messages else ""
    return tuple(passage for passage in answer.passages if not said or passage.text in said)


def in_request_numbers(answer: Answer, text: str) -> str:
    """Return the text with each mark of the page as the number of its passage in the request; other marks go."""
    place = {passage.id: at for at, passage in enumerate(read_by_the_writer(answer), 1)}
    numbers = {citation.number: place.get(citation.passage.id) for citation in answer.citations}

    def renamed(mark: regex.Match[str]) -> str:
        number = numbers.get(int(mark[1]))
        return f"[{number}]" if number else ""

    return str(_AGAIN.sub(r"\1", _MARK.sub(renamed, text)))


def taught(answer: Answer, text: str | None = None) -> str:
    """Return what a model would have written for this answer, or for another text with the same marks."""
    if text is None and answer.kind == "refusal":
        return REFUSAL_MARK
    return without_persons(in_request_numbers(answer, answer.text if text is None else text))


def without_persons(text: str) -> str:
    """Return a text without personal data, tidied."""
    return scrubbed(plain(text))[0]


def coarse_place(place: str | None) -> str | None:
    """Return the country or region of a place, None where only something smaller is named: "Kisii, Nyanza, Kenya" is Kenya."""
    return places.coarse(place, glossary())


def problem_of(answer: Answer, text: str) -> str:
    """Return why a text in the numbers of the request may not be taught as the answer, or "" where every sentence is carried.

    The check is the one that stands between a model and the page; a refusal passes.
    """
    if text.strip() == REFUSAL_MARK:
        return ""
    passages = read_by_the_writer(answer)
    done, rest = take_complete(text + "\n")
    written = [*done, rest] if rest.strip() else done
    if not written:
        return "it is empty"
    for sentence in written:
        found = safety.check_sentence(sentence, passages, names_in)
        if not isinstance(found, safety.Supported):
            return f"{found}: {sentence.strip()}"
    words = questions.length_in_words(_MARK.sub("", text))
    return "" if words <= prompts.MAX_WORDS else f"it has {words:.0f} words, and {prompts.MAX_WORDS} are the most"


def group_of(answer: Answer) -> str:
    """Return what must stay on one side of a split: the question in its content words, so that rewordings stay together."""
    words = sorted(stems(answer.question.text))
    return identity("question", *(words or [answer.question.text.casefold().strip()]))


def names_in(text: str) -> Sequence[str]:
    """Return the ids of the crops, problems and inputs that a text names."""
    return [mention.term.id for mention in glossary().find(text, set(NAMED))]
