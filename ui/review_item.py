"""What an expert judges: the question, what the farmer thought, the answer, and each quote inside its passage."""

from __future__ import annotations

from html import escape

import streamlit as st

from agri_llm.judgements import Account
from agri_llm.records import Answer, Feedback
from knowledge_base import photo_labels
from ui import citations, drafts, field, words
from ui.drafts import Draft
from ui.markup import answer_html, plain, question_html
from ui.words import word

VERDICTS = ("supports", "does_not")
_SIGNS = {"supports": ":material/check:", "does_not": ":material/close:"}


def show(by: Account, draft: Draft) -> None:
    """Show everything about one answer that helps to judge it, and nothing that tells who wrote it."""
    item = draft.item
    about(item.answer, item.why)
    _farmer(by, draft)
    st.html(_answer(item.answer))
    if item.answer.citations:
        st.markdown(f"##### {word('review_sources')}", anchors=False)
    for citation in item.answer.citations:
        part = f"cited-{citation.number}"
        with st.container(border=True, key=draft.key(f"box-{part}"), gap="xsmall"):
            st.html(citations.cited_html(item.answer, citation))
            st.segmented_control(
                word("review_carries", number=str(citation.number)),
                VERDICTS,
                format_func=lambda verdict: f"{_SIGNS[verdict]} {word(f'cited_{verdict}')}",
                key=drafts.seeded(draft, part),
                on_change=drafts.typed,
                args=(by, draft, part),
            )


def about(answer: Answer, why: tuple[str, ...]) -> None:
    """Show a question with its crop and place, and why it waits."""
    asked = answer.question
    reasons = "".join(f'<span class="agri-why agri-why-{escape(one)}">{escape(word(f"why_{one}"))}</span>' for one in why)
    facts = [
        field.crop_name(asked.crop) if asked.crop else "",
        asked.place or "",
        word(f"stage_{asked.stage}") if asked.stage in field.STAGES else asked.stage or "",
    ]
    known = " · ".join(escape(fact) for fact in facts if fact)
    st.html(
        f'<div class="agri-asked"><p class="agri-reasons">{reasons}</p>{question_html(asked.text)}'
        f'<p class="agri-known">{known or escape(word("review_no_details"))}</p></div>'
    )
    if answer.diagnosis is not None:
        st.caption(word("review_photo", name=plain(photo_labels.name_of(answer.diagnosis.label, words.language()))))


def text_html(answer: Answer) -> str:
    """Return the text of an answer with its marks leading to the quotes."""
    return answer_html(answer.text, citations.targets(answer), word("mark"))


def _answer(answer: Answer) -> str:
    kind = "" if answer.kind == "advice" else f'<p class="agri-kind">{escape(word(f"kind_{answer.kind}"))}</p>'
    hint = "" if answer.kind == "advice" else f'<p class="agri-note">{escape(word("review_no_advice"))}</p>'
    return f'<div class="agri-answer agri-judged agri-{answer.kind}">{kind}{text_html(answer)}{hint}</div>'


def _farmer(by: Account, draft: Draft) -> None:
    for said in draft.item.said:
        reasons = word("review_comma").join(word(f"reason_{reason}") for reason in said.reasons if _known(reason))
        thumb = ":material/thumb_down:" if said.rating == "down" else ":material/thumb_up:"
        with st.container(border=True, key=draft.key(f"farmer-{said.id}"), gap="xsmall"):
            spoke = reasons or said.comment or said.correction.strip()
            line = word("review_farmer" if spoke else "review_farmer_silent") + (f" {reasons}." if reasons else "")
            st.markdown(f"{thumb} {plain(line)}")
            if said.comment:
                st.html(f'<blockquote class="agri-said">{escape(said.comment)}</blockquote>')
            if said.correction.strip():
                _proposal(by, draft, said)


def _proposal(by: Account, draft: Draft, said: Feedback) -> None:
    """A better answer that the farmer wrote: taken as it is, edited, or rejected."""
    part, text = f"decided-{said.id}", f"edited-{said.id}"
    st.markdown(plain(word("review_proposal")))
    st.html(f'<blockquote class="agri-said">{escape(said.correction)}</blockquote>')
    st.segmented_control(
        word("review_decide"),
        ("approved", "edited", "rejected"),
        format_func=lambda status: word(f"decided_{status}"),
        key=drafts.seeded(draft, part),
        on_change=drafts.typed,
        args=(by, draft, part),
        label_visibility="collapsed",
    )
    if draft.said.get(part) == "edited":
        st.text_area(
            word("review_edit"),
            key=drafts.seeded(draft, text, said.correction),
            on_change=drafts.typed,
            args=(by, draft, text),
            height="content",
        )
    objections(draft, part)


def objections(draft: Draft, part: str) -> None:
    """Say which sentences of a text the check refused when it was sent, and why."""
    for sentence, reason in draft.objections.get(part, ()):
        st.error(plain(objection(sentence, reason)), icon=":material/block:")


def objection(sentence: str, reason: str) -> str:
    """Return in words why a sentence may not be shown."""
    return f"“{sentence}” " + word(f"objection_{reason.replace(' ', '_')}")


def _known(reason: str) -> bool:
    return f"reason_{reason}" in words.words(words.language())
