"""Where an expert judges an answer: five scores, wrong sentences, a better text, a comment, a signature."""

from __future__ import annotations

import re
import time
from datetime import date, timedelta
from typing import Any

import streamlit as st

from agri_llm import sentences
from agri_llm.judgements import CRITERIA, Account, Criterion
from agri_llm.records import now
from agri_llm.review_checks import LONGEST_CORRECTION
from ui import drafts, review_item, review_saving
from ui.drafts import Draft
from ui.field import LONGEST
from ui.markup import plain
from ui.words import word

SCORES = (1, 2, 3, 4, 5)
CATCH_BREATH_SECONDS = 1.0  # what is left of a burst of keys is not taken for scores of other criteria
_ASKED = "asked"  # the criterion that was clicked to be scored again
SIGNED_DAYS, LONGEST_DAYS = 365, 730
_MARK = re.compile(r"\s*\[\d+\]")
SHORT = 400  # characters of a sentence on a button
_ABOVE = LONGEST_CORRECTION + 2000  # Streamlit cuts silently, so the store's limit must come first


def show(by: Account, draft: Draft) -> None:
    """Show what was scored, and what can be said besides."""
    _scores(by, draft)
    _better(by, draft)
    _comment(by, draft)
    if draft.item.answer.kind == "advice":
        _signature(by, draft)


def bar(by: Account, draft: Draft) -> None:
    """Show below everything, always in reach: the score that is asked for now, skip, and save."""
    with st.container(key="review-bar", gap="xsmall"):
        if draft.problem:
            st.error(plain(draft.problem), icon=":material/error:")
        left, asked = len(unscored(draft)), asked_now(draft)
        if asked:
            _pad(by, draft, asked)
        with st.container(horizontal=True, vertical_alignment="center", key="review-go"):
            st.caption(word("review_left", count=str(left)) if left else word("review_all_scored"), width="stretch")
            if left < len(CRITERIA):
                st.button(
                    word("review_undo"), key="undo", type="tertiary", shortcut="Backspace", on_click=_undo, args=(by, draft)
                )
            st.button(word("review_skip"), key="skip", shortcut="S", on_click=review_saving.skip, args=(by, draft))
            st.button(
                word("review_save"),
                key="save",
                type="primary",
                shortcut="Ctrl+Enter",
                on_click=review_saving.save,
                args=(by, draft),
            )


def unscored(draft: Draft) -> list[Criterion]:
    """Return the criteria that have no score yet."""
    return [criterion for criterion in CRITERIA if draft.said.get(f"score-{criterion}") is None]


def asked_now(draft: Draft) -> Criterion | None:
    """Return the criterion that the keys score: one that was clicked, else the first without a score."""
    clicked: Criterion | None = draft.said.get(_ASKED)
    return clicked or next(iter(unscored(draft)), None)


def _pad(by: Account, draft: Draft, asked: Criterion) -> None:
    """Five keys for the criterion that is asked for; with each press the next one is asked for."""
    anchors = " · ".join(f"**{score}** {word(f'anchor_{asked}_{score}')}" for score in (1, 3, 5))
    st.markdown(f"**{word(f'criterion_{asked}')}** {word(f'asks_{asked}')}")
    with st.container(horizontal=True, gap="xsmall", key="review-pad", wrap=False):
        for score in SCORES:
            st.button(
                str(score), key=f"pad-{score}", shortcut=str(score), width="stretch", on_click=_score, args=(by, draft, score)
            )
    st.caption(anchors)


def _score(by: Account, draft: Draft, score: int) -> None:
    """Score what is asked for. Keys that come while the server is busy reach us without their order: none of them counts."""
    asked = asked_now(draft)
    if asked is None or time.monotonic() < draft.deaf_until:
        return
    draft.pressed.append(asked)
    draft.said[_ASKED] = None
    at_once = len(draft.pressed) > 1
    for criterion in draft.pressed:
        drafts.say(by, draft, f"score-{criterion}", None if at_once else score)
    if at_once:
        draft.deaf_until = time.monotonic() + CATCH_BREATH_SECONDS
        draft.problem = word("review_too_fast")


def _undo(by: Account, draft: Draft) -> None:
    scored = [criterion for criterion in CRITERIA if draft.said.get(f"score-{criterion}") is not None]
    if scored:
        drafts.say(by, draft, f"score-{scored[-1]}", None)


def _scores(by: Account, draft: Draft) -> None:
    """What was scored so far; a click on a line asks for that score again.

    Buttons hold no value of their own: a control that the keys below change too would send its old value back with the next
    key, if that is pressed before the page is drawn.
    """
    with st.container(key="review-scores", gap=None):
        for criterion in CRITERIA:
            name, score = word(f"criterion_{criterion}"), draft.said.get(f"score-{criterion}")
            anchors = "\n\n".join(f"**{each}** {word(f'anchor_{criterion}_{each}')}" for each in (1, 3, 5))
            st.button(
                f"{name}: **{score}**" if score else name,
                key=f"again-{criterion}",
                type="tertiary",
                icon=_sign(draft, criterion),
                help=f"{word(f'asks_{criterion}')}\n\n{anchors}",
                on_click=drafts.say,
                args=(by, draft, _ASKED, criterion),
            )


def _sign(draft: Draft, criterion: Criterion) -> str:
    if criterion == asked_now(draft):
        return ":material/arrow_forward:"
    return ":material/check_circle:" if draft.said.get(f"score-{criterion}") else ":material/radio_button_unchecked:"


def _better(by: Account, draft: Draft) -> None:
    answer = draft.item.answer
    said = draft.said
    is_open = bool(
        said.get("wrong") or said.get("correction", answer.text) != answer.text or draft.objections.get("correction")
    )
    with st.expander(word("review_wrong"), expanded=is_open, icon=":material/edit_note:"):
        spans = sentences.split(answer.text)
        st.pills(
            word("review_mark"),
            range(len(spans)),
            selection_mode="multi",
            format_func=lambda at: plain(_short(spans[at].text)),
            key=drafts.seeded(draft, "wrong", []),
            on_change=drafts.typed,
            args=(by, draft, "wrong"),
        )
        if not answer.citations:
            st.caption(word("review_nothing_cited"))
            return
        st.text_area(
            word("review_better"),
            key=drafts.seeded(draft, "correction", answer.text),
            max_chars=_ABOVE,
            height="content",
            on_change=drafts.typed,
            args=(by, draft, "correction"),
        )
        st.caption(word("review_better_how"))
        review_item.objections(draft, "correction")


def _comment(by: Account, draft: Draft) -> None:
    with st.expander(word("review_comment"), expanded=bool(draft.said.get("comment")), icon=":material/chat_bubble:"):
        st.text_area(
            word("review_comment_about"),
            key=drafts.seeded(draft, "comment", ""),
            max_chars=_ABOVE,
            height="content",
            on_change=drafts.typed,
            args=(by, draft, "comment"),
        )


def _signature(by: Account, draft: Draft) -> None:
    asked, said = draft.item.answer.question, draft.said
    with st.expander(word("review_sign"), expanded=bool(said.get("sign")), icon=":material/verified:"):
        st.checkbox(word("sign_this", name=plain(by.name)), **_widget(by, draft, "sign", False))
        if not said.get("sign"):
            return
        today = now().date()
        key = draft.key("until")
        if key not in st.session_state:
            kept = said.get("until")
            st.session_state[key] = date.fromisoformat(kept) if kept else today + timedelta(days=SIGNED_DAYS)
        st.date_input(
            word("sign_until"),
            key=key,
            min_value=today + timedelta(days=1),
            max_value=today + timedelta(days=LONGEST_DAYS),
            format="YYYY-MM-DD",
            on_change=drafts.typed,
            args=(by, draft, "until"),
        )
        st.text_input(word("sign_crop"), max_chars=LONGEST, **_widget(by, draft, "sign_crop", asked.crop or ""))
        region = (asked.place or "").split(",")[-1].strip()
        st.text_input(word("sign_region"), max_chars=LONGEST, **_widget(by, draft, "sign_region", region))
        st.caption(word("sign_about"))


def _widget(by: Account, draft: Draft, part: str, default: Any) -> dict[str, Any]:
    return {"key": drafts.seeded(draft, part, default), "on_change": drafts.typed, "args": (by, draft, part)}


def _short(text: str) -> str:
    text = _MARK.sub("", text)
    return text if len(text) <= SHORT else f"{text[: SHORT - 1].rstrip()}…"
