"""The page people open: its frame, and what they see when something breaks inside."""

from __future__ import annotations

import streamlit as st

from ui import chat, failures
from ui.words import word

st.set_page_config(page_title=word("title"), page_icon="🌱", initial_sidebar_state="auto")
try:
    chat.show()
except Exception as error:  # noqa: BLE001 - the edge: whatever broke, people read one sentence and the log has the rest
    failures.show(error)
