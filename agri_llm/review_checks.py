"""What a review or a comparison must be like to be kept: one sentence for everything that is not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

from agri_llm.errors import BadInput
from agri_llm.judgements import CRITERIA, CitationVerdict, Comparison, Preferred, Review
from agri_llm.records import FeedbackStatus
from agri_llm.tables import AnswerRow

LONGEST_CORRECTION = 4000  # characters
LONGEST_COMMENT = 4000
LONGEST_NAME = 200  # characters of a crop or a region that an answer is signed for
MOST_MARKED = 200  # places in one answer
LONGEST_DRAFT = 40_000  # characters of a draft as JSON: two long texts, and what was clicked


def review(said: Review, answer: AnswerRow) -> None:
    """Look at scores, spans, citation numbers and lengths; raises BadInput."""
    _scores(said)
    if len(said.wrong) > MOST_MARKED:
        raise BadInput(f"There are {len(said.wrong):,} marked places", f"{MOST_MARKED} are the most", "mark longer ones")
    for start, end in said.wrong:
        if not 0 <= start < end <= len(answer.text):
            found = f"The marked place {start}–{end} is not in the answer"
            raise BadInput(found, f"its text has {len(answer.text)} characters", "mark the place again")
    numbers = {cited["number"] for cited in answer.citations}
    for number, verdict in said.citations.items():
        if number not in numbers:
            raise BadInput(f"Citation [{number}] is not in the answer", "it cannot be judged", "judge those that are shown")
        if verdict not in get_args(CitationVerdict):
            raise BadInput(f"{verdict!r} is no word for a citation", "it would be lost", "say supports or does_not")
    if said.seconds is not None and not 0 <= said.seconds < float("inf"):
        raise BadInput(f"{said.seconds} seconds is no length of time", "it would spoil the figures", "leave it out")
    length("correction", said.correction, LONGEST_CORRECTION)
    length("comment", said.comment, LONGEST_COMMENT)


def comparison(said: Comparison) -> None:
    """Look at what can be seen without the answers; raises BadInput."""
    if said.preferred not in get_args(Preferred):
        raise BadInput(f"{said.preferred!r} is no choice", "it would be lost", f"say one of {', '.join(get_args(Preferred))}")
    if said.first == said.second:
        raise BadInput("Both answers are the same one", "there is nothing to compare", "take the next item")
    length("comment", said.comment, LONGEST_COMMENT)


def decision(status: FeedbackStatus, text: str) -> None:
    """Look at what is decided of a farmer's correction; raises BadInput."""
    if status not in ("approved", "edited", "rejected"):
        raise BadInput(f"{status!r} is no decision", "nothing was decided", "say approved, edited or rejected")
    if (status == "edited") != bool(text.strip()):
        found = "An edited correction comes with its text, the others without"
        raise BadInput(found, "nobody could tell which text counts", "write the text, or choose approved or rejected")
    length("correction", text, LONGEST_CORRECTION)


def draft(typed: Mapping[str, Any]) -> None:
    """Refuse a draft that no page of ours makes; raises BadInput."""
    length("draft", json.dumps(typed), LONGEST_DRAFT)


def length(what: str, text: str, longest: int) -> None:
    """Refuse a text that is too long; raises BadInput."""
    if len(text) > longest:
        raise BadInput(f"The {what} has {len(text):,} characters", f"{longest:,} are the most", "shorten it")


def _scores(said: Review) -> None:
    if set(said.scores) != set(CRITERIA):
        named = ", ".join(map(str, said.scores)) or "none"
        raise BadInput(f"The scores are for {named}", "each criterion needs one", f"score {', '.join(CRITERIA)}")
    for criterion, score in said.scores.items():
        if type(score) is not int or not 1 <= score <= 5:
            raise BadInput(f"The score for {criterion} is {score!r}", "scores go from 1 to 5", "choose one of these")
