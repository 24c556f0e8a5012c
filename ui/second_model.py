"""What a second model sees on photos, on the page: its own words, marked as such, and what it would like to know."""

from __future__ import annotations

from html import escape

import streamlit as st

from agri_llm.records import Description, Diagnosis
from ui.words import word


def show(found: Diagnosis) -> None:
    """Show what a second model sees, where one was asked."""
    if found.seen is not None:
        st.html(_html(found.seen))


def _html(seen: Description) -> str:
    lines = [f'<p>{escape(word("second_sees"))}</p><blockquote dir="auto">{escape(seen.text)}</blockquote>']
    if seen.questions:
        asked = "".join(f'<li dir="auto">{escape(question)}</li>' for question in seen.questions)
        lines.append(f"<p>{escape(word('second_asks'))}</p><ul>{asked}</ul>")
    return f'<div class="agri-diagnosis">{"".join(lines)}</div>'
