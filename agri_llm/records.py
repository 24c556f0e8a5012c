"""The nouns of the project: plain frozen records, passed between all parts.

No framework and no database in here. Times are seconds since a start unless the name says otherwise; texts are Unicode as
people wrote them; identifiers are UUIDv7 strings, so sorting by id sorts by time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import uuid_utils

Kind = Literal["advice", "clarification", "refusal"]
Intent = Literal["identify", "act", "when", "amount", "prevent", "explain"]
Rating = Literal["up", "down"]
Scope = Literal["in", "unknown_plant", "not_a_plant"]
PhotoQuality = Literal["good", "too_small", "too_dark", "too_bright", "blurred", "no_plant"]
HEALTHY, BACKGROUND = "__healthy", "background"  # how labels of healthy crops end; the label of photos without a crop
OTHER = "other"  # how the label ends that a person puts in words of their own
FeedbackStatus = Literal["new", "approved", "edited", "rejected"]
Message = Mapping[str, str]  # {"role": "system" | "user" | "assistant", "content": text}


def new_id() -> str:
    """Return a new UUIDv7 as text; ids made later sort later (RFC 9562)."""
    return str(uuid_utils.uuid7())


def now() -> datetime:
    """Return the present time, UTC and aware."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a person asked, with what we know of the field; `follows` is the question before it in the same conversation.

    `conversation` is the id of the conversation it belongs, or will belong, to; "" where there is none.
    """

    text: str
    id: str = field(default_factory=new_id)
    place: str | None = None
    crop: str | None = None
    stage: str | None = None
    language: str | None = None
    photos: tuple[Photo, ...] = ()
    follows: Question | None = None
    conversation: str = ""


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A piece of a document, about 200 tokens, with everything a reader needs to check it.

    `text` is a verbatim part of the document's text; `heading` the path of headings above it, joined by " > ".
    `page` is the physical page (1-based), `page_label` the printed one. `twin_of` is the document that this one says in
    another language.
    """

    id: str
    document_id: str
    title: str
    text: str
    heading: str = ""
    page: int | None = None
    page_label: str | None = None
    url: str | None = None
    licence: str | None = None
    region: tuple[str, ...] = ()
    crop: tuple[str, ...] = ()
    topic: tuple[str, ...] = ()
    language: str = "en"
    published: str | None = None
    sources: tuple[str, ...] = ()
    twin_of: str = ""


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A passage found for a query. `score` is the fused score in 0–1; `words` and `meaning` the two halves it came from.

    `words` is BM25 as a share of the best score any passage could reach for this query, `meaning` the nearness of the
    embeddings. `sentences` holds the cosine of each sentence of the passage with the query, in the order of
    `agri_llm.sentences.split(passage.text)`; empty where nobody computed it.
    """

    passage: Passage
    score: float
    words: float = 0.0
    meaning: float = 0.0
    sentences: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photo that is safe to look at and to keep: a JPEG that we wrote, upright, in sRGB, without any note of where or when.

    `sha256` is that of `data`, in hex; `width` and `height` are pixels.
    """

    data: bytes = field(repr=False)
    sha256: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a second model says it sees on the photos of a diagnosis: cleaned, never checked, no ground for advice.

    `fits` is the label of the photo model that it would choose, "" where it finds none fitting. `questions` would tell the
    possibilities apart.
    """

    text: str
    fits: str
    questions: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What photos of a plant seem to show: a hypothesis. `label` is the best guess, "crop__condition", whatever the scope.

    `confidence` is calibrated, 0–1; `certain` is False where nobody should act on it. `scope` says whether the photos show
    anything the model was trained for, `scope_score`, 0–1, how surely; `quality` whether they are good enough to look at.
    `affected_area_percent` is the share of the visible leaf that is discoloured. `heatmap` is a JPEG of the first photo with
    the places that the label rests on. `seen` is what a second model sees, where there is one.
    """

    label: str
    confidence: float
    certain: bool
    alternatives: tuple[tuple[str, float], ...] = ()
    scope: Scope = "in"
    scope_score: float = 1.0
    quality: PhotoQuality = "good"
    affected_area_percent: float | None = None
    heatmap: bytes | None = field(default=None, repr=False)
    seen: Description | None = None


@dataclass(frozen=True, kw_only=True)
class Citation:
    """The words of a passage on which a sentence rests; `quote` occurs verbatim in `passage.text`."""

    number: int
    passage: Passage
    quote: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something the assistant starts doing: "photo", "search", "write", "check"."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """One checked sentence, ready to be shown; `text` carries its citation numbers, like "Remove them.[1]"."""

    text: str
    citations: tuple[Citation, ...]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a person gets: advice with citations, a question back, or a refusal that says whom to ask.

    `messages`, `index_hash`, `prompt_hash`, `model` and `adapter` let anyone write this answer again. `passages` are those the
    writer saw. `missing` names the details asked for in a clarification. `timings_ms` maps a step to milliseconds.
    `signed_by` names the expert who vouches for it until `signed_until`, where one does.
    """

    question: Question
    kind: Kind
    text: str
    id: str = field(default_factory=new_id)
    citations: tuple[Citation, ...] = ()
    diagnosis: Diagnosis | None = None
    missing: tuple[str, ...] = ()
    passages: tuple[Passage, ...] = ()
    messages: tuple[Message, ...] = ()
    model: str = ""
    adapter: str | None = None
    index_hash: str = ""
    prompt_hash: str = ""
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    complete: bool = True
    signed_by: str = ""
    signed_until: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the answer as the one JSON object that `agri ask --json` prints."""
        return {
            "id": self.id,
            "question_id": self.question.id,
            "kind": self.kind,
            "text": self.text,
            "citations": [
                {
                    "number": citation.number,
                    "document_id": citation.passage.document_id,
                    "title": citation.passage.title,
                    "page": citation.passage.page,
                    "url": citation.passage.url,
                    "quote": citation.quote,
                }
                for citation in self.citations
            ],
            "diagnosis": None
            if self.diagnosis is None
            else {
                "label": self.diagnosis.label,
                "confidence": self.diagnosis.confidence,
                "certain": self.diagnosis.certain,
                "alternatives": [{"label": label, "confidence": share} for label, share in self.diagnosis.alternatives],
            },
            "model": self.model,
            "adapter": self.adapter,
            "timings_ms": {step: round(milliseconds, 1) for step, milliseconds in self.timings_ms.items()},
        }


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """What a person thought of an answer. `author` is the owner key of whoever wrote it; `reviewer` an agronomist."""

    answer_id: str
    rating: Rating
    author: str
    id: str = field(default_factory=new_id)
    reasons: tuple[str, ...] = ()
    correction: str = ""
    comment: str = ""
    status: FeedbackStatus = "new"
    reviewer: str | None = None


@dataclass(frozen=True, kw_only=True)
class PhotoLabel:
    """What a person says that a photo shows, where the diagnosis was wrong; `seen` is the label that was shown to them.

    `label` is like that of a diagnosis; one that ends in OTHER stands for the words in `comment`. `sha256` names the photo.
    """

    sha256: str
    label: str
    author: str
    id: str = field(default_factory=new_id)
    seen: str = ""
    comment: str = ""
    status: FeedbackStatus = "new"
    reviewer: str | None = None
    created_at: datetime = field(default_factory=now)


@dataclass(frozen=True, kw_only=True)
class PreferencePair:
    """Two answers to the same messages, one better; `feedback_ids` say which ratings it came from."""

    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    feedback_ids: tuple[str, ...]
