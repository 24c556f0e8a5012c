"""Photos taken on the page: the camera opens when a visitor asks for it, what it took waits for the next question."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from agri_llm.photos.reception import MOST
from ui.words import word

WAITING = "camera_photos"  # in the session: photos that go with the next question
OPENED = "camera_opened"  # in the session: how often; a camera of the same key would show its last photo again
SMALL = 64  # pixels of a waiting photo's width: the box to type in must stay in sight on a phone


@dataclass
class Shot:
    """A photo of the camera, as a file from the browser is."""

    name: str
    data: bytes

    def getvalue(self) -> bytes:
        """Return its content."""
        return self.data


def button() -> None:
    """Offer to take a photo; until then the browser is not asked for the camera."""
    full = len(_waiting()) >= MOST
    if st.button(word("camera"), key="camera", icon=":material/photo_camera:", type="tertiary", disabled=full):
        st.session_state[OPENED] = st.session_state.get(OPENED, 0) + 1
        st.dialog(word("camera"))(_camera)()


def waiting() -> None:
    """Show the photos that wait, with a way to ask about them without a word and one to be rid of them."""
    if not _waiting():
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="waiting"):
        for shot in _waiting():
            st.image(shot.data, width=SMALL)
        st.button(word("camera_ask"), key="camera-ask", type="primary", on_click=_ask)
        st.button(word("camera_remove"), key="camera-remove", icon=":material/close:", type="tertiary", on_click=_forget)


def taken() -> list[Shot]:
    """Return the photos that wait and let none wait any longer."""
    return list(st.session_state.pop(WAITING, []))


def _forget() -> None:
    st.session_state.pop(WAITING, None)


def _waiting() -> list[Shot]:
    found: list[Shot] = st.session_state.get(WAITING, [])
    return found


def _camera() -> None:
    st.caption(word("camera_how"))
    number = len(_waiting()) + 1
    picture = st.camera_input(word("camera"), key=f"camera-{st.session_state[OPENED]}", label_visibility="collapsed")
    if picture is None:
        return
    if st.button(word("camera_use"), key="camera-use", type="primary", width="stretch"):
        st.session_state[WAITING] = [*_waiting(), Shot(f"{word('camera_photo')} {number}", picture.getvalue())]
        st.rerun()


def _ask() -> None:
    st.session_state["asked"] = word("about_photo")
