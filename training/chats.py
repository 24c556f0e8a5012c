"""A conversation as the ids and labels of one training row, built from the very prompts that answering uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from agri_llm.language import chat_template

IGNORED = -100  # what torch's cross entropy leaves out


class Unfaithful(Exception):
    """A conversation whose tokens in training are not those of answering; the message says why, for a list of such rows."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """The token ids of one row, and the same as labels, with those that are not learned left out."""

    ids: list[int]
    labels: list[int]


def encode(tokenizer: Any, messages: Sequence[Mapping[str, Any]], stops: Sequence[int]) -> Encoded:
    """Return one row in which exactly what the assistant writes is learned: its words and the token that ends them.

    Each answer begins where the prompt that serving renders ends, token by token. Raises Unfaithful where it does not.
    """
    try:
        whole = chat_template.ids(tokenizer, messages, to_answer=False)
        labels = [IGNORED] * len(whole)
        for at, message in enumerate(messages):
            if message["role"] == "assistant":
                begin, end = _span(tokenizer, messages[: at + 1], whole, stops)
                labels[begin:end] = whole[begin:end]
    except TemplateError as error:
        raise Unfaithful(f"the chat template refuses it ({error})") from error
    if all(label == IGNORED for label in labels):
        raise Unfaithful("the assistant says nothing in it")
    return Encoded(ids=whole, labels=labels)


def _span(tokenizer: Any, upto: Sequence[Mapping[str, Any]], whole: list[int], stops: Sequence[int]) -> tuple[int, int]:
    """Return where the last answer of `upto` begins and ends in the whole conversation."""
    asked = chat_template.ids(tokenizer, upto[:-1], to_answer=True)
    said = chat_template.ids(tokenizer, upto, to_answer=False)
    if whole[: len(asked)] != asked:
        raise Unfaithful("its prompt has other tokens than when answering")
    if whole[: len(said)] != said:
        raise Unfaithful("the template writes an earlier answer in another way once the conversation goes on")
    ends = [at for at in range(len(asked), len(said)) if whole[at] in stops]
    if not ends:
        raise Unfaithful("no end token follows the answer, so the model would never learn to stop")
    return len(asked), ends[-1] + 1


def spans(labels: Sequence[int]) -> list[list[int]]:
    """Return the runs of learned tokens of a row."""
    found: list[list[int]] = []
    before = IGNORED
    for label in labels:
        if label != IGNORED:
            if before == IGNORED:
                found.append([])
            found[-1].append(label)
        before = label
    return found
