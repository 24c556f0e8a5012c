"""Documents → rows: questions that passages answer, among passages of other documents, with the answer the assistant gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from random import Random

from agri_llm.questions import length_in_words
from agri_llm.records import Passage
from training import document_questions
from training.document_questions import Asked, crop_of
from training.examined import MARK
from training.library import Library, cited_as_shown
from training.rows import Row, identity

FEWEST_ANSWER_WORDS = 6.0  # a shorter answer says too little to be worth imitating
DISTRACTORS = (1, 4)  # passages of other documents beside those that answer


def rows(library: Library, source: str, documents: Iterable[str]) -> Iterator[Row]:
    """Yield the rows that these documents answer: by section, by reason, by signs, and follow-ups."""
    for document in documents:
        for asked in document_questions.of(library, document):
            row = grounded(library, asked, source)
            if row is not None:
                yield row


def texts(library: Library, source: str, documents: Iterable[str]) -> Iterator[Row]:
    """Yield each document as a text to read on, without the sections that a model is examined on; these are another text."""
    for document in documents:
        passages = library.documents[document]
        read = library.unexamined(passages)
        for some in (read, [passage for passage in passages if passage not in read]):
            if some:
                yield _text(library, source, document, some)


def _text(library: Library, source: str, document: str, passages: Sequence[Passage]) -> Row:
    group = library.group(document, passages)
    parts = [passages[0].title]
    heading = ""
    for passage in passages:
        parts += [passage.heading] if passage.heading != heading else []
        parts.append(passage.text)
        heading = passage.heading
    return Row(
        id=identity(source, document, "text", *([] if group == library.group(document) else [MARK])),
        group=group,
        kind="pretraining",
        language=passages[0].language,
        source=source,
        crop=crop_of(passages),
        licence=passages[0].licence or "",
        text="\n\n".join(part for part in parts if part),
    )


def grounded(library: Library, asked: Asked, source: str) -> Row | None:
    """Return a question, its passages among others, and the checked answer; None where the assistant would not give one."""
    random = Random(identity(source, asked.document, asked.family, asked.question.text))
    others = library.distractors(asked.document, random.randint(*DISTRACTORS), random)
    answer = library.answer(asked.question, asked.gold, others, asked.said)
    cited = {citation.passage.id for citation in answer.citations}
    if answer.kind != "advice" or not cited & asked.first or length_in_words(answer.text) < FEWEST_ANSWER_WORDS:
        return None
    shown = [*asked.gold, *others]
    random.shuffle(shown)
    return row_of(library, asked, source, shown, cited_as_shown(answer, shown))


def row_of(library: Library, asked: Asked, source: str, shown: Sequence[Passage], text: str) -> Row:
    """Return the row of a question, the passages shown and the words to answer with."""
    passages = library.documents[asked.document]
    request = library.request(asked.question, shown)
    earlier = asked.question.follows.text if asked.question.follows else ""
    return Row(
        id=identity(source, asked.document, asked.family, asked.question.text, earlier),
        group=library.group(asked.document, asked.gold),
        kind=asked.kind,
        language=passages[0].language,
        source=source,
        crop=crop_of(passages),
        licence=passages[0].licence or "",
        messages=(*request, {"role": "assistant", "content": text}),
    )
