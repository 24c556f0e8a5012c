"""Photos on the page: taken in, shown small beside the question, and what they seem to show above the answer."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Protocol

import streamlit as st

from agri_llm import photo_questions
from agri_llm.records import Answer, Diagnosis, Photo
from knowledge_base import photo_labels
from ui import second_model, words
from ui.words import word

TYPES = ["jpg", "jpeg", "png", "webp", "heic", "heif", "avif"]  # what the file chooser offers; the content decides
SMALL = 120  # pixels of a thumbnail's width
LEAST_SHARE = 0.03  # of an alternative that is worth naming


class Uploaded(Protocol):
    """A file from the browser."""

    name: str

    def getvalue(self) -> bytes:
        """Return its content."""


def received(files: Sequence[Uploaded]) -> tuple[Photo, ...]:
    """Take in photos, so that nothing of the files is kept but the pixels. Raises BadInput for one that cannot be used."""
    if not files:
        return ()
    from agri_llm.photos import reception

    return reception.receive_all([(file.getvalue(), file.name) for file in files])


def thumbnails(photos: Sequence[Photo]) -> None:
    """Show photos in a row, small."""
    if photos:
        with st.container(horizontal=True, gap="small"):
            for photo in photos:
                st.image(photo.data, width=SMALL)


def diagnosis(answer: Answer) -> None:
    """Show what the photos seem to show, how sure that is, what else it could be, and on demand where the model looked."""
    found = answer.diagnosis
    if found is None or photo_questions.problem(found):
        return
    st.html(_panel(found))
    second_model.show(found)
    if found.heatmap is not None and st.toggle(word("heat_map"), key=f"heat-{answer.id}"):
        st.image(found.heatmap, caption=word("heat_map_about"), width=320)


def _panel(found: Diagnosis) -> str:
    language = words.language()
    sure = word("photo_certain" if found.certain else "photo_uncertain", share=f"{found.confidence:.0%}")
    others = [
        f"<li>{escape(photo_labels.name_of(label, language))} <span>{share:.0%}</span></li>"
        for label, share in found.alternatives
        if share >= LEAST_SHARE
    ]
    area = found.affected_area_percent
    lines = [f'<p class="agri-seen"><strong>{escape(photo_labels.name_of(found.label, language))}</strong> {escape(sure)}</p>']
    if area:
        lines.append(f"<p>{escape(word('affected_area', share=f'{area:.0f}'))}</p>")
    if others:
        lines.append(f"<p>{escape(word('photo_others'))}</p><ul>{''.join(others)}</ul>")
    if not found.certain:
        lines.append(f"<p>{escape(word('photo_more'))}</p>")
    return f'<div class="agri-diagnosis">{"".join(lines)}</div>'
