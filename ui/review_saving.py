"""From what an expert clicked and typed to the store; what cannot be saved is said in a sentence and stays on the page."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import streamlit as st

from agri_llm import sentences
from agri_llm.errors import AgriError
from agri_llm.judgements import CRITERIA, Account, Comparison, Review
from agri_llm.records import now
from ui import drafts, review_item, wiring
from ui.drafts import RETURNED, Draft
from ui.words import word


def save(by: Account, draft: Draft) -> None:
    """Keep a review with everything that belongs to it, and go on to the next item."""
    if any(draft.said.get(f"score-{criterion}") is None for criterion in CRITERIA):
        draft.problem = word("review_score_first")
        return
    if _refused(draft):
        first = next(found[0] for found in draft.objections.values() if found)
        draft.problem = f"{word('review_refused')} {review_item.objection(*first)}"
        return
    try:
        _signed(by, draft)
        _decided(by, draft)
        wiring.store().reviews.submit(review_of(by, draft))
    except AgriError as error:
        draft.problem = str(error)
        return
    _done()


def save_comparison(by: Account, draft: Draft) -> None:
    """Keep which answer is better, and go on to the next item."""
    item, preferred = draft.item, draft.said.get("preferred")
    if preferred is None or item.second is None:
        draft.problem = word("compare_choose_first")
        return
    said = Comparison(
        id=draft.said["id"],
        question_id=item.answer.question.id,
        first=item.answer.id,
        second=item.second.id,
        preferred=preferred,
        reviewer=by.id,
        comment=str(draft.said.get("comment") or "").strip(),
    )
    try:
        wiring.store().reviews.compare(said)
    except AgriError as error:
        draft.problem = str(error)
        return
    _done()


def skip(by: Account, draft: Draft) -> None:
    """Give an item back, so that a colleague gets it; one's own returned correction is only put aside."""
    try:
        if RETURNED not in draft.item.why:
            wiring.store().queue.skip(by.id, draft.item)
    except AgriError as error:
        draft.problem = str(error)
        return
    drafts.leave()


def review_of(by: Account, draft: Draft) -> Review:
    """Return the review that a draft amounts to."""
    answer, said = draft.item.answer, draft.said
    spans = sentences.split(answer.text)
    cited = {citation.number: said.get(f"cited-{citation.number}") for citation in answer.citations}
    return Review(
        id=said["id"],
        answer_id=answer.id,
        reviewer=by.id,
        scores={criterion: said[f"score-{criterion}"] for criterion in CRITERIA},
        wrong=tuple((spans[at].start, spans[at].end) for at in sorted(said.get("wrong") or ()) if at < len(spans)),
        citations={number: verdict for number, verdict in cited.items() if verdict},
        correction=correction(draft),
        comment=str(said.get("comment") or "").strip(),
        seconds=draft.seconds(),
    )


def correction(draft: Draft) -> str:
    """Return the better text, empty where nothing was changed."""
    text = str(draft.said.get("correction") or "").strip()
    return "" if text == draft.item.answer.text.strip() else text


def _refused(draft: Draft) -> bool:
    """Check every text that would be taught or shown, and remember which sentences may not be."""
    texts = {"correction": correction(draft)}
    if draft.said.get("sign"):
        texts["correction"] = texts["correction"] or draft.item.answer.text
    for said in draft.item.said:
        decided = draft.said.get(f"decided-{said.id}")
        if decided in ("approved", "edited"):
            texts[f"decided-{said.id}"] = _proposal(draft, said.id, said.correction, decided)
    draft.objections = {part: drafts.objections(draft.item.answer, text) for part, text in texts.items() if text}
    return any(draft.objections.values())


def _signed(by: Account, draft: Draft) -> None:
    said, answer = draft.said, draft.item.answer
    if not said.get("sign"):
        return
    until = date.fromisoformat(said["until"]) if said.get("until") else now().date() + timedelta(days=365)
    wiring.store().signed.sign(
        by.id,
        answer.id,
        correction(draft) or answer.text,
        said.get("sign_crop", answer.question.crop),
        said.get("sign_region", (answer.question.place or "").split(",")[-1].strip()),
        datetime.combine(until, time(23, 59), UTC),
        check=wiring.assistant().unsupported,
    )


def _decided(by: Account, draft: Draft) -> None:
    for said in draft.item.said:
        decided: Any = draft.said.get(f"decided-{said.id}")
        if decided:
            text = _proposal(draft, said.id, said.correction, decided) if decided == "edited" else ""
            wiring.store().reviews.decide_correction(by.id, said.id, decided, text)


def _proposal(draft: Draft, its_id: str, proposed: str, decided: str) -> str:
    return str(draft.said.get(f"edited-{its_id}", proposed) if decided == "edited" else proposed).strip()


def _done() -> None:
    drafts.leave()
    st.toast(word("review_saved"), icon=":material/check:")
