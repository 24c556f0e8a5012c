"""How far the experts agree, in plain words and figures: each sees the group and themselves, administrators everybody."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Literal

import streamlit as st

from agri_llm import agreement
from agri_llm.agreement import ENOUGH, RELIABLE, TENTATIVE, Agreement, ExpertAgreement
from agri_llm.judgements import Account
from ui import session, wiring
from ui.markup import plain
from ui.words import word

Level = Literal["reliable", "shaky", "weak", "chance", "few"]
Figures = tuple[list[Agreement], list[ExpertAgreement], int, int]
_SIGNS: dict[Level, str] = {"reliable": "✓", "shaky": "~", "weak": "!", "chance": "✕", "few": "…"}


def show() -> None:
    """Show the agreement in each criterion, then that of one's own scores, and for administrators everybody's."""
    account = session.require("agronomist")
    group, experts, twice, total = _figures(account)
    st.title(word("page_agreement"), anchor=False)
    st.markdown(word("agreement_about", twice=str(twice), total=str(total)))
    st.markdown(f"#### {word('agreement_group')}", anchors=False)
    st.html("".join(_group_row(each) for each in group))
    st.markdown(f"#### {word('agreement_you')}", anchors=False)
    _person([each for each in experts if each.expert == account.id])
    if account.role == "administrator":
        _everybody(account, experts)
    st.caption(word("agreement_how", reliable=f"{RELIABLE:.3f}", tentative=f"{TENTATIVE:.3f}", enough=str(ENOUGH)))


def level(value: float | None, low: float | None) -> Level:
    """Say what an agreement is worth: bounds of Krippendorff (2004, p. 241); like chance where its interval reaches zero."""
    if value is None or low is None:
        return "few"
    if low <= 0:
        return "chance"
    return "reliable" if value >= RELIABLE else "shaky" if value >= TENTATIVE else "weak"


def _figures(account: Account) -> Figures:
    """Count anew only where something was said since: the intervals take a moment."""
    store = wiring.store()
    reviews, comparisons = store.reviews.said(account.id), store.reviews.compared(account.id)
    version = (len(reviews), reviews[-1].id if reviews else "", len(comparisons), comparisons[-1].id if comparisons else "")
    kept: tuple[object, Figures] | None = st.session_state.get("agreement")
    if kept is None or kept[0] != version:
        group = agreement.of_reviews(reviews, comparisons)
        answers = {review.answer_id for review in reviews}
        figures = (group, agreement.of_experts(reviews), max((each.items for each in group), default=0), len(answers))
        st.session_state["agreement"] = kept = (version, figures)
    return kept[1]


def _everybody(account: Account, experts: Sequence[ExpertAgreement]) -> None:
    st.markdown(f"#### {word('agreement_everybody')}", anchors=False)
    names = {each.id: each.name for each in wiring.store().accounts.everyone(account.id)}
    together = [each for each in experts if not each.criterion]
    if not together:
        st.caption(word("agreement_none"))
    for one in sorted(together, key=lambda each: (not agreement.looks_random(each), names.get(each.expert, ""))):
        with st.container(border=True, key=f"expert-{one.expert}", gap="xsmall"):
            st.markdown(f"**{plain(names.get(one.expert, word('agreement_left')))}**")
            if agreement.looks_random(one):
                st.warning(word("agreement_constant" if one.constant else "agreement_random"), icon=":material/casino:")
            st.html(_expert_row(one))
            with st.popover(word("agreement_by_criterion"), type="tertiary", key=f"by-criterion-{one.expert}"):
                st.html("".join(_expert_row(each) for each in experts if each.expert == one.expert and each.criterion))


def _person(rows: Sequence[ExpertAgreement]) -> None:
    if not any(row.items for row in rows):
        st.caption(word("agreement_you_none"))
        return
    if agreement.looks_random(rows[0]):
        st.warning(word("agreement_you_random"), icon=":material/casino:")
    st.html("".join(_expert_row(row) for row in rows))


def _group_row(found: Agreement) -> str:
    counts = word("agreement_counts", items=str(found.items), ratings=str(found.ratings))
    return _row(found.criterion, "α", found.alpha, found.low, found.high, counts, enough=found.items > 1)


def _expert_row(found: ExpertAgreement) -> str:
    counts = word("agreement_with_others", items=str(found.items))
    if found.kappa is not None:
        counts = word("agreement_with_all", kappa=_two(found.kappa), counts=counts)
    return _row(found.criterion or "together", "κ", found.best, found.low, found.high, counts, enough=found.items >= ENOUGH)


def _row(
    name: str, symbol: str, value: float | None, low: float | None, high: float | None, counts: str, *, enough: bool
) -> str:
    """One line: what, in a word how good, the figure with its interval on a scale from 0 to 1, and from how many."""
    said = level(value, low) if enough else "few"
    title = escape(word(f"criterion_{name}"))
    figure, scale = "", ""
    if value is not None and low is not None and high is not None:
        figure = f"{symbol} {_two(value)} ({_two(low)} … {_two(high)})"
        left, right, at = (round(100 * min(1, max(0, each))) for each in (low, high, value))
        scale = (
            f'<div class="agri-scale" aria-hidden="true"><i style="left:{left}%;width:{max(1, right - left)}%"></i>'
            f'<b style="left:{at}%"></b></div>'
        )
    verdict = f'<span class="agri-level agri-{said}">{_SIGNS[said]} {escape(word(f"level_{said}"))}</span>'
    return (
        f'<div class="agri-agreement"><p><strong>{title}</strong> {verdict}</p>{scale}'
        f'<p class="agri-known">{" · ".join(part for part in (figure, escape(counts)) if part)}</p></div>'
    )


def _two(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
