"""Two answers to one question side by side, in an order that chance chose: which one is better?"""

from __future__ import annotations

from typing import get_args

import streamlit as st

from agri_llm.judgements import Account, Preferred
from ui import citations, drafts, review_item, review_saving
from ui.drafts import Draft
from ui.markup import plain
from ui.words import word

CHOICES: tuple[Preferred, ...] = get_args(Preferred)
KEYS: dict[Preferred, str] = {"first": "Left", "second": "Right", "both_good": "G", "both_bad": "B"}


def show(by: Account, draft: Draft) -> None:
    """Show the question, both answers with their sources, and below how to choose."""
    item = draft.item
    assert item.second is not None
    review_item.about(item.answer, item.why)
    for place, (number, answer) in zip(st.columns(2, gap="medium"), enumerate((item.answer, item.second), 1), strict=True):
        with place, st.container(border=True, key=draft.key(f"answer-{number}")):
            st.markdown(f"##### {word('compare_answer', number=str(number))}", anchors=False)
            st.html(
                f'<div class="agri-answer agri-judged">{review_item.text_html(answer)}{citations.sources_html(answer)}</div>'
            )
    with st.expander(word("review_comment"), expanded=bool(draft.said.get("comment")), icon=":material/chat_bubble:"):
        st.text_area(
            word("compare_why"),
            key=drafts.seeded(draft, "comment", ""),
            height="content",
            on_change=drafts.typed,
            args=(by, draft, "comment"),
        )
    _bar(by, draft)


def _bar(by: Account, draft: Draft) -> None:
    with st.container(key="review-bar", gap="xsmall"):
        if draft.problem:
            st.error(plain(draft.problem), icon=":material/error:")
        with st.container(horizontal=True, gap="xsmall", key="compare-choices"):
            for choice in CHOICES:
                st.button(
                    word(f"compare_{choice}"),
                    key=f"choose-{choice}",
                    type="primary" if draft.said.get("preferred") == choice else "secondary",
                    shortcut=KEYS[choice],
                    width="stretch",
                    on_click=drafts.say,
                    args=(by, draft, "preferred", choice),
                )
        with st.container(horizontal=True, vertical_alignment="center", key="review-go"):
            st.caption(word("compare_about"), width="stretch")
            st.button(word("review_skip"), key="skip", shortcut="S", on_click=review_saving.skip, args=(by, draft))
            st.button(
                word("review_save"),
                key="save",
                type="primary",
                shortcut="Ctrl+Enter",
                disabled=draft.said.get("preferred") is None,
                on_click=review_saving.save_comparison,
                args=(by, draft),
            )
