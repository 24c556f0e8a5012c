"""Photos on the page: taken in, shown small beside the question, and what they seem to show above the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import streamlit as st

from agri_llm.photos.files import SUFFIXES
from agri_llm.records import Answer, Photo
from ui import photo_panel, second_model
from ui.words import word

TYPES = [suffix.removeprefix(".") for suffix in SUFFIXES]  # what the file chooser offers; the content decides
SMALL = 120  # pixels of a thumbnail's width


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
    """Show what the photos seem to show, and on demand where the model looked."""
    panel = photo_panel.html(answer)
    if not panel:
        return
    st.html(panel)
    if answer.diagnosis is not None:
        second_model.show(answer.diagnosis)
    heat = answer.diagnosis.heatmap if answer.diagnosis else None
    if heat is not None and st.toggle(word("heat_map"), key=f"heat-{answer.id}"):
        st.image(heat, caption=word("heat_map_about"), width=320)
