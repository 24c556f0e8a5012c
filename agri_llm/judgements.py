"""What people say of answers, and what is decided from it: plain frozen records beside those of `records.py`.

Ids are UUIDv7 strings, times aware UTC. A person is named by a key: a guest by that of the visitor's cookie, who signed in by
the id of the account.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from agri_llm.records import Answer, Feedback, new_id, now

Role = Literal["agronomist", "administrator"]
Criterion = Literal["correctness", "completeness", "safety", "groundedness", "clarity"]
CRITERIA: tuple[Criterion, ...] = ("correctness", "completeness", "safety", "groundedness", "clarity")
CitationVerdict = Literal["supports", "does_not"]
Preferred = Literal["first", "second", "both_good", "both_bad"]
Result = Literal["worked", "partly", "failed"]
PromotionKind = Literal["promoted", "rolled_back", "canary", "canary_stopped"]


@dataclass(frozen=True, kw_only=True)
class Account:
    """Somebody who signs in; a farmer needs no account. Whoever left is not `active` and may do nothing."""

    name: str
    role: Role
    id: str = field(default_factory=new_id)
    active: bool = True
    created_at: datetime = field(default_factory=now)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of advice days later, said by the person who got it."""

    answer_id: str
    result: Result
    author: str
    comment: str = ""
    id: str = field(default_factory=new_id)
    created_at: datetime = field(default_factory=now)


@dataclass(frozen=True, kw_only=True)
class Review:
    """What an agronomist thinks of an answer, without knowing which model wrote it.

    `scores` are 1–5 for each criterion. `wrong` holds the character spans (start, end) of the answer's text that are wrong.
    `citations` maps the number of a citation to whether its quote carries the sentence. `correction` is a whole better answer
    that cites the same passages by the same numbers. `seconds` is how long the reviewer had the answer open.
    """

    answer_id: str
    reviewer: str
    scores: Mapping[Criterion, int]
    wrong: tuple[tuple[int, int], ...] = ()
    citations: Mapping[int, CitationVerdict] = field(default_factory=dict)
    correction: str = ""
    comment: str = ""
    seconds: float | None = None
    id: str = field(default_factory=new_id)
    created_at: datetime = field(default_factory=now)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Which of two answers to one question an agronomist prefers; `first` and `second` are answer ids as they were shown."""

    question_id: str
    first: str
    second: str
    preferred: Preferred
    reviewer: str
    comment: str = ""
    id: str = field(default_factory=new_id)
    created_at: datetime = field(default_factory=now)


@dataclass(frozen=True, kw_only=True)
class SignedAnswer:
    """An answer for which an agronomist vouches until `expires_at`, for the question, crop and region it was given for.

    `answer` holds the text as signed, with its citations; `signer` is an account id, `signer_name` what people see.
    """

    answer: Answer
    signer: str
    signer_name: str
    expires_at: datetime
    crop: str | None = None
    region: str | None = None
    withdrawn_at: datetime | None = None
    id: str = field(default_factory=new_id)
    created_at: datetime = field(default_factory=now)


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A decision about which adapter writes the answers; the newest of kind promoted or rolled_back is the one in use.

    `adapter` is a folder, None for the base model alone; `sha256` the hash of its weights. `share` is the share of
    conversations that a canary gets. `reasons` are the gate's words; `verdict` its whole report as JSON.
    """

    kind: PromotionKind
    adapter: str | None
    by: str
    sha256: str = ""
    share: float = 0.0
    run: str = ""
    reasons: tuple[str, ...] = ()
    verdict: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=new_id)
    created_at: datetime = field(default_factory=now)


def adapter_name(adapter: str) -> str:
    """Return what an adapter is called in answers: its folder, or that of the run where it is the `adapter` of one."""
    folder = Path(adapter)
    return folder.parent.name if folder.name == "adapter" and folder.parent.name else folder.name


@dataclass(frozen=True, kw_only=True)
class Material:
    """Everything that people whose answers may be used for training said, with the answers it is about.

    `answers` maps ids to answers, also those that reviews and comparisons name. Votes and outcomes are of people who agreed;
    reviews and comparisons are about answers of people who agreed. `experts` are the ids of accounts that may review.
    """

    answers: Mapping[str, Answer] = field(default_factory=dict)
    votes: tuple[Feedback, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    reviews: tuple[Review, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    signed: tuple[SignedAnswer, ...] = ()
    experts: tuple[str, ...] = ()
