"""What people see when something breaks: one calm sentence, and an id under which the log has the rest."""

from __future__ import annotations

import logging
import secrets

import streamlit as st

from agri_llm.errors import AgriError
from ui.markup import plain
from ui.words import word

_LOG = logging.getLogger("agri.page")


def show(error: Exception) -> bool:
    """Show an error to the visitor and log it; True tells Streamlit that nothing more is to be shown."""
    if isinstance(error, AgriError):
        _LOG.warning("%s", error)
        st.error(plain(str(error)), icon=":material/error:")
        return True
    reference = secrets.token_hex(4)
    _LOG.error("error %s", reference, exc_info=error)
    st.error(word("unexpected", reference=reference), icon=":material/error:")
    return True
