"""The words people see, in the language they chose; one JSON file a language in `ui/locales`."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import cast

import streamlit as st

from ui import wiring

LANGUAGES = ("en", "zh")
LANGUAGE = "lang"  # name of the query parameter, and of the switch, that hold the visitor's choice


_KEPT = "language-kept"  # the choice, for the next page: Streamlit forgets switches and addresses between pages


@cache
def words(language: str) -> dict[str, str]:
    """Return all words of a language by their keys."""
    text = (resources.files("ui.locales") / f"{language}.json").read_text(encoding="utf-8")
    return cast("dict[str, str]", json.loads(text))


def language() -> str:
    """Return the language this visitor reads: the chosen one, the one in the page's address, else AGRI_LANGUAGE."""
    chosen = st.session_state.get(LANGUAGE) or st.query_params.get(LANGUAGE) or st.session_state.get(_KEPT)
    return chosen if chosen in LANGUAGES else wiring.settings().language


def keep_language() -> None:
    """Remember the visitor's language when they go to another page."""
    st.session_state[_KEPT] = language()


def word(key: str, **values: str) -> str:
    """Return the words behind a key in the visitor's language; {places} are filled with `values` as plain text."""
    text = words(language())[key]
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text
