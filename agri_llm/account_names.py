"""Names of accounts: how people see them, and when two are the same."""

from __future__ import annotations

import unicodedata

from agri_llm.errors import BadInput

LONGEST_NAME = 80  # characters


def shown(name: str) -> str:
    """Return a name as people see it: one line without signs that cannot be seen. Raises BadInput."""
    line = " ".join("".join(each if each.isprintable() else " " for each in name).split())
    if not 1 <= len(line) <= LONGEST_NAME:
        found = f"The name has {len(line)} characters"
        raise BadInput(found, f"one of 1 to {LONGEST_NAME} is needed", "write the name that colleagues know you by")
    return line


def key(name: str) -> str:
    """Return a name without regard to case and width: Ａｍｉｎａ, AMINA and amina are one."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.split())
