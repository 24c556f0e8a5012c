"""What an expert clicked and typed for one item: kept on the page at once, and in the store so that it survives a refresh."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from agri_llm import sentences
from agri_llm.errors import AgriError, StoreUnavailable
from agri_llm.judgements import Account, Review
from agri_llm.queue import Item, Waiting
from agri_llm.records import Answer, new_id, now
from ui import wiring

_OPEN, _RETURNED = "review-open", "review-returned"
RETURNED = "returned"  # why an item is shown whose correction no longer passes


@dataclass
class Draft:
    """An item on the page. `said` holds everything that was clicked and typed, as JSON; `waits` what was left to do then."""

    item: Item
    said: dict[str, Any]
    waits: Waiting
    done_today: int
    shown_at: float = field(default_factory=time.monotonic)
    problem: str = ""
    pressed: list[str] = field(default_factory=list)  # what was scored since the page was drawn
    deaf_until: float = 0.0
    objections: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)  # by the text that has them

    def key(self, part: str) -> str:
        """Return the key of a widget, which no other item has."""
        return f"{part}-{self.item.id.replace(' ', '-')}"

    def seconds(self) -> float:
        """Return how long the item has been on this page."""
        return round(time.monotonic() - self.shown_at, 1)


def current(by: Account) -> Draft | None:
    """Return the item that is open on the page, or the next one; None where nothing waits."""
    draft: Draft | None = st.session_state.get(_OPEN)
    if draft is None or st.session_state.get(f"{_OPEN}-by") != by.id:
        draft = _next(by)
        st.session_state[_OPEN], st.session_state[f"{_OPEN}-by"] = draft, by.id
    return draft


def leave() -> None:
    """Put the open item away, so that the next one is taken."""
    st.session_state.pop(_OPEN, None)


def seeded(draft: Draft, part: str, default: Any = None) -> str:
    """Return the key of a widget that shows what was said before, also after the page was left and opened again."""
    key = draft.key(part)
    if key not in st.session_state:
        st.session_state[key] = draft.said.get(part, default)
    return key


def say(by: Account, draft: Draft, part: str, value: Any) -> None:
    """Remember something that was clicked on a button, which holds no value itself."""
    _keep(by, draft, part, value)


def typed(by: Account, draft: Draft, part: str) -> None:
    """Remember what a widget holds now: its callback."""
    value = st.session_state[draft.key(part)]
    _keep(by, draft, part, value.isoformat() if isinstance(value, date) else value)


def _keep(by: Account, draft: Draft, part: str, value: Any) -> None:
    draft.said[part] = value
    draft.problem = ""
    try:
        wiring.store().queue.keep_draft(by.id, draft.item, draft.said)
    except StoreUnavailable:
        pass  # it stays on this page, and saving will say that nothing can be saved
    except AgriError as error:
        draft.problem = str(error)


def _next(by: Account) -> Draft | None:
    store, midnight = wiring.store(), _midnight()
    returned = _returned(by)
    if returned:
        item, review = returned.pop(0)
        said = _said_in(item, review)
    else:
        found = store.queue.take(by.id, now())
        if found is None:
            return None
        item, said = found, dict(found.draft)
    said.setdefault("id", new_id())
    waits, done = store.queue.waiting(by.id), store.reviews.done_since(by.id, midnight)
    draft = Draft(item=item, said=said, waits=waits, done_today=done)
    if RETURNED in item.why:
        draft.objections["correction"] = objections(item.answer, said["correction"])
    return draft


def objections(answer: Answer, text: str) -> tuple[tuple[str, str], ...]:
    """Return the sentences of a text in an answer's place that may not be shown, each with the reason."""
    return wiring.assistant().objections(replace(answer, text=text))


def done_today(by: Account) -> int:
    """Return how many items this person did since midnight where they are."""
    return wiring.store().reviews.done_since(by.id, _midnight())


def _midnight() -> datetime:
    """The last midnight where this person is; of the server where the browser does not say."""
    try:
        zone = ZoneInfo(st.context.timezone or "")
    except (ZoneInfoNotFoundError, ValueError):
        zone = None
    return now().astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)


def _returned(by: Account) -> list[tuple[Item, Review]]:
    """Own corrections that the check refuses, looked for once a session."""
    key = f"{_RETURNED}-{by.id}"
    if key not in st.session_state:
        st.session_state[key] = wiring.store().queue.given_back(by.id, lambda answer, text: not objections(answer, text))
    found: list[tuple[Item, Review]] = st.session_state[key]
    return found


def _said_in(item: Item, review: Review) -> dict[str, Any]:
    spans = sentences.split(item.answer.text)
    wrong = [at for at, span in enumerate(spans) if (span.start, span.end) in review.wrong]
    said: dict[str, Any] = {"correction": review.correction, "comment": review.comment, "wrong": wrong}
    said |= {f"score-{criterion}": score for criterion, score in review.scores.items()}
    return said | {f"cited-{number}": verdict for number, verdict in review.citations.items()}
