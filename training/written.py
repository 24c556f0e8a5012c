"""Questions and answers that a model on a server writes about passages, kept only where our own checks let them through."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from random import Random

from agri_llm import prompts, questions, safety
from agri_llm.errors import BadInput
from agri_llm.records import Message, Passage, Question
from agri_llm.sentences import take_complete
from training import rows
from training.library import Library
from training.rows import Row, identity

Reply = Callable[[Iterable[Message]], Iterator[str]]
DISTRACTORS = (1, 4)  # passages of other documents beside the one that was written about
LONGEST_REPLY = 20_000  # characters; a server that writes more has lost its way


class Written:
    """What a model wrote, kept in a file as it comes, so that a build that was stopped does not ask again."""

    def __init__(self, kept: Path, reply: Reply) -> None:
        """Take up what the file already holds; a last line that was cut off is left aside."""
        self._reply, self._kept = reply, kept
        self._known: dict[str, str] = {}
        for line in kept.read_text(encoding="utf-8").splitlines() if kept.exists() else ():
            try:
                found = json.loads(line)
                self._known[found["request"]] = found["reply"]
            except (ValueError, KeyError, TypeError):
                continue

    def reply(self, messages: Sequence[Message]) -> str:
        """Return what the model writes to a request, asked once. Raises ModelUnavailable."""
        key = identity(json.dumps([dict(message) for message in messages], ensure_ascii=False))
        if key not in self._known:
            text = ""
            for piece in self._reply(messages):
                text += piece
                if len(text) > LONGEST_REPLY:
                    break
            self._known[key] = text
            with self._kept.open("a", encoding="utf-8") as file:
                file.write("\n" * (self._kept.stat().st_size > 0 and not _ends_line(self._kept)))
                file.write(json.dumps({"request": key, "reply": text}, ensure_ascii=False) + "\n")
        return self._known[key]


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"


def written(
    library: Library, source: str, model: Written, wanted: int, documents: Iterable[str], counts: Counter[str]
) -> Iterator[Row]:
    """Yield the rows made of what a model wrote about each passage; `counts` says why others were dropped."""
    for document in documents:
        for passage in library.documents[document]:
            request = prompts.question_messages(passage, wanted)
            try:
                pairs = read_pairs(model.reply(request))
            except BadInput:
                counts["written: not the JSON that was asked for"] += 1
                continue
            for question, answer in pairs[:wanted]:
                row = _checked(library, document, passage, question, answer, source, counts)
                if row is not None:
                    yield row


def read_pairs(text: str) -> list[tuple[str, str]]:
    """Return the questions and answers in what a model wrote. Raises BadInput where it is not the JSON that was asked for."""
    text = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    try:
        found = json.loads(text)
        pairs = [(pair["question"], pair["answer"]) for pair in found["pairs"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput("the model wrote no JSON as asked", "nothing can be read from it", "try another model") from error
    if not all(isinstance(part, str) and part.strip() for pair in pairs for part in pair):
        raise BadInput("the model wrote pairs without texts", "nothing can be read from them", "try another model")
    return pairs


def _checked(
    library: Library, document: str, passage: Passage, question: str, answer: str, source: str, counts: Counter[str]
) -> Row | None:
    """Return the row of a question that the passage answers, every sentence of it checked; None, counted, where not."""
    problem = _problem(library, passage, question, answer)
    if problem:
        counts[f"written: {problem}"] += 1
        return None
    random = Random(identity(source, passage.id, question))
    others = library.distractors(document, random.randint(*DISTRACTORS), random)
    shown = random.sample([passage, *others], 1 + len(others))
    text = answer.replace("[1]", f"[{shown.index(passage) + 1}]").strip()
    messages = (*library.request(Question(text=question), shown), {"role": "assistant", "content": text})
    return Row(
        id=identity(source, passage.id, "written", question),
        group=library.group(document, [passage]),
        kind="grounded",
        language=passage.language,
        source=source,
        crop=passage.crop[0] if passage.crop else "any",
        licence=passage.licence or "",
        messages=rows.chat([dict(message) for message in messages], f"a row written about {passage.id}"),
    )


def _problem(library: Library, passage: Passage, question: str, answer: str) -> str:
    """Return why a question and answer may not be learned from, or ""."""
    if safety.input_problem(question) or "[" in question:
        return "question"
    understood = questions.understand(Question(text=question), library.glossary)
    if understood.language != questions.language_of(passage.text, passage.language):
        return "language"
    done, rest = take_complete(answer + "\n")
    for sentence in [*done, rest] if rest.strip() else done:
        found = safety.check_sentence(
            sentence, [passage], lambda text: library.named(text, ("disease", "pest", "input", "crop"))
        )
        if not isinstance(found, safety.Supported):
            return found
    return "" if done and questions.length_in_words(answer) <= prompts.MAX_WORDS else "length"
