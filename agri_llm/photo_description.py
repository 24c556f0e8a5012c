"""Photos of a plant, and what the photo model says of them → what a second model, which also reads, sees on them.

The second model runs on an OpenAI-compatible server and is believed little: it describes and asks. It cannot change the
diagnosis; where it would choose another label, nothing is certain any more. Whatever goes wrong with it, the page goes on.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Protocol

import regex
from PIL import Image

from agri_llm import photo_questions, prompts
from agri_llm.errors import ModelError
from agri_llm.records import Description, Diagnosis
from agri_llm.unchecked import cleaned

MOST_PHOTOS = 6  # as many as one question has
LONGEST_SIDE = 1024  # pixels; servers cut pictures into tiles of 448 to 768, and more of them only take longer
JPEG_QUALITY = 85
LONGEST_TOKENS = 400  # 60 words and two questions take 250 in the languages that need most
LONGEST_REPLY = 4000  # characters; 400 tokens are no more than 2,000
LONGEST_TEXT = 600
LONGEST_QUESTION = 200
MOST_QUESTIONS = 2
LONGEST_SAID = 500  # of the words of a person; what they say of the plant, not a text for the model to follow
NONE = "none"
_FENCE = regex.compile(r"\A\s*```(?:json)?\s*(\{.*\})\s*```\s*\Z", regex.DOTALL)
_LOG = logging.getLogger("agri.photos")


class Replies(Protocol):
    """A model on a server; `agri_llm.language.endpoint.EndpointModel` is one."""

    def reply(self, messages: Iterable[Mapping[str, Any]]) -> Generator[str, None, None]:
        """Yield what it writes, piece by piece; closing it stops the writing. Raises ModelError."""


class PhotoDescriber:
    """Asks a second model what it sees; `seconds` is the longest that a person waits for it."""

    def __init__(self, model: Replies, seconds: float) -> None:
        self._model, self._seconds = model, seconds

    def beside(
        self, found: Diagnosis, photos: Sequence[Image.Image], *, labels: Sequence[str], said: str = "", language: str = "en"
    ) -> Diagnosis:
        """Return a diagnosis with what the second model sees; the diagnosis as it was where that model is no use.

        `labels` are those it may choose from, `said` the words of the person. Photos that cannot be used are not sent.
        """
        if photo_questions.problem(found):
            return found
        possible = [found.label, *(label for label, _ in found.alternatives)]
        sent = [address_of(photo) for photo in photos[:MOST_PHOTOS]]
        messages = prompts.description_messages(said[:LONGEST_SAID], language, possible, labels, sent)
        try:
            seen = read(self._written(messages), labels)
        except (ModelError, ValueError) as error:
            _LOG.warning("The photos were not described: %s", " ".join(str(error).split()))
            return found
        return replace(found, seen=seen, certain=found.certain and seen.fits == found.label)

    def _written(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Return the whole reply; ValueError where it takes too long or does not end."""
        text, end = "", time.monotonic() + self._seconds
        with closing(self._model.reply(messages)) as pieces:
            for piece in pieces:
                text += piece
                if len(text) > LONGEST_REPLY:
                    raise ValueError(f"the reply has more than {LONGEST_REPLY:,} characters")
                if time.monotonic() > end:
                    raise ValueError(f"the reply took more than {self._seconds:g} seconds")
        return text


def read(reply: str, labels: Sequence[str]) -> Description:
    """Return what a reply says, cleaned; ValueError where it is not what was asked for, or nothing of it may be shown."""
    fenced = _FENCE.match(reply)
    try:
        told = json.loads(fenced[1] if fenced else reply)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the reply is no JSON but {reply[:60]!r}") from error
    if not isinstance(told, dict) or set(told) != {"description", "questions", "label"}:
        raise ValueError(f"the reply has other parts than were asked for: {reply[:60]!r}")
    description, questions, label = told["description"], told["questions"], told["label"]
    if (
        not isinstance(description, str)
        or not isinstance(questions, list)
        or not all(isinstance(one, str) for one in questions)
    ):
        raise ValueError("the description or the questions are no texts")
    if not isinstance(label, str) or label not in (*labels, NONE):
        raise ValueError(f"the label is {str(label)[:60]!r}, which was not among those given")
    text = cleaned(description, LONGEST_TEXT)
    if not text:
        raise ValueError("nothing of the description may be shown")
    asked = [one for one in (cleaned(question, LONGEST_QUESTION) for question in questions) if one.endswith(("?", "？", "؟"))]
    return Description(text=text, fits="" if label == NONE else label, questions=tuple(asked[:MOST_QUESTIONS]))


def address_of(photo: Image.Image) -> str:
    """Return a photo as an address that holds it whole: a small JPEG without notes, in base64 (RFC 2397)."""
    small = photo.convert("RGB").copy()  # made smaller in place
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    bare, written = Image.frombytes("RGB", small.size, small.tobytes()), io.BytesIO()
    bare.save(written, "JPEG", quality=JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode('ascii')}"
