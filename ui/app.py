"""The page people open: its frame, and what they see when something breaks inside."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from ui import failures, navigation
from ui.words import word

st.set_page_config(page_title=word("title"), page_icon="🌱", initial_sidebar_state="auto")
try:
    st.html(Path(__file__).with_name("page.css"))
    navigation.show()
except Exception as error:  # noqa: BLE001 - the edge: whatever broke, people read one sentence and the log has the rest
    failures.show(error)
