"""What decides the replies of an assistant: where any of it changes, nothing that was kept of it counts any more."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import agri_llm
import knowledge_base
from agri_llm import prompts
from agri_llm.assistant import Assistant

_CODE = (".py", ".json", ".csv")  # files that decide what an assistant says


def contract_of(assistant: Assistant, weights: str) -> dict[str, str]:
    """Name everything that decides what an assistant says."""
    return {
        "model": assistant.model.name,
        "adapter": assistant.model.adapter or "",
        "weights": weights,
        "index": assistant.index_hash(),
        "prompt": prompts.PROMPT_HASH,
        "expert": assistant.expert,
        "prompting": f"examples={assistant.examples} step_by_step={assistant.step_by_step}",
        "code": code_hash(),
    }


@cache
def code_hash() -> str:
    """Hash the code and tables of the assistant and of the search (sha256): a changed rule asks again."""
    digest = hashlib.sha256()
    for package in (agri_llm, knowledge_base):
        folder = Path(str(package.__file__)).parent
        for path in sorted(path for path in folder.rglob("*") if path.suffix in _CODE):
            digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def weights_hash(*places: str | None) -> str:
    """Hash what files say of a model or adapter: small files by content, weights by name, size and time of change."""
    digest = hashlib.sha256()
    for place in places:
        digest.update(f"{place}\0".encode())
        folder = Path(place or "").expanduser()
        if not place or not folder.is_dir():  # none, or a name on a hub
            continue
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            state = path.stat()
            content = path.read_bytes() if path.suffix in (".json", ".jinja", ".txt") else b""
            digest.update(f"{path.name}\0{state.st_size}\0{state.st_mtime_ns}".encode() + content)
    return digest.hexdigest()
