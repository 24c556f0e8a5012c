"""What a visitor may say about the field once, so that it need not be said in every question."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from knowledge_base.terms import Glossary
from ui import words
from ui.markup import plain
from ui.words import word

COMMON_CROPS = ("maize", "rice", "wheat", "tomato", "potato", "cassava", "bean", "banana")
STAGES = ("seedling", "growing", "flowering", "fruiting", "ripe")
LONGEST = 80  # characters of a crop's or place's name


@dataclass(frozen=True, kw_only=True)
class FieldDetails:
    """Crop and place in the visitor's words, stage as one of `STAGES`; None where nothing was said."""

    crop: str | None = None
    place: str | None = None
    stage: str | None = None


def crop_name(crop: str) -> str:
    """Return the name of a crop in the visitor's language; words that are no crop of ours stay as they are."""
    return Glossary.load().name(crop, words.language())


def details() -> FieldDetails:
    """Return what is known about the field in this session."""
    said = {
        name: str(st.session_state.get(f"field_{name}") or "").strip()[:LONGEST] or None for name in ("crop", "place", "stage")
    }
    return FieldDetails(**said)


def show() -> None:
    """Show the details as one small button that opens a form."""
    known = details()
    parts = [
        plain(part)
        for part in (
            crop_name(known.crop) if known.crop else "",
            known.place,
            word(f"stage_{known.stage}") if known.stage else "",
        )
        if part
    ]
    label = word("field_known", details=" · ".join(parts)) if parts else word("field")
    with st.popover(label, icon=":material/potted_plant:", type="tertiary", key="field"):
        st.caption(word("field_why"))
        st.selectbox(
            word("field_crop"),
            COMMON_CROPS,
            index=None,
            format_func=crop_name,
            accept_new_options=True,
            placeholder=word("field_crop_hint"),
            key="field_crop",
            persist_state="session",
        )
        st.text_input(
            word("field_place"),
            max_chars=LONGEST,
            placeholder=word("field_place_hint"),
            key="field_place",
            persist_state="session",
        )
        st.pills(
            word("field_stage"),
            STAGES,
            format_func=lambda stage: word(f"stage_{stage}"),
            key="field_stage",
            persist_state="session",
        )
