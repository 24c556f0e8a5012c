"""What a writer is given for one answer, and the one interface of all writers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from agri_llm.records import Hit, Intent, Message, Question


@dataclass(frozen=True, kw_only=True)
class Brief:
    """Everything a writer may use for one answer.

    `hits` are the passages in the order in which they are cited: [1] is `hits[0]`. `messages` are the same request as a chat,
    for the writers that are language models. `query` is the question made independent of the conversation.
    """

    question: Question
    intent: Intent
    hits: tuple[Hit, ...]
    messages: tuple[Message, ...]
    query: str = ""


class LanguageModel(Protocol):
    """Something that writes an answer from passages: the composer, a model on this machine, or a model on a server."""

    @property
    def name(self) -> str:
        """Who wrote, as it is stored with the answer."""

    @property
    def adapter(self) -> str | None:
        """The adapter it wrote with, or None."""

    def stream(self, brief: Brief) -> Iterator[str]:
        """Yield the answer piece by piece as it is written; it cites passages as [1], [2], positions in `brief.hits`.

        Writers that take their time return a generator; closing it stops the writing. Raises ModelError.
        """
