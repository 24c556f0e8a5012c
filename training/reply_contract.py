"""What decides the replies of an assistant: where any of it changes, nothing that was kept of it counts any more.

Not the contract beside an adapter (`contract.py`), which says what text a model learned to read.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import agri_llm
import knowledge_base
from agri_llm import prompts
from agri_llm.assistant import Assistant
from agri_llm.language import contract
from training.rows import files_hash

_CODE = (".py", ".json", ".csv")  # files that decide what an assistant says
_SAID = (".json", ".jinja", ".txt")  # files that decide, beside its weights, what a model writes


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
    folders = (Path(str(package.__file__)).parent for package in (agri_llm, knowledge_base))
    return files_hash(sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in _CODE))


def weights_hash(*places: str | None) -> str:
    """Name models and adapters: by their words, settings and weights where they are folders here, else by name."""
    digest = hashlib.sha256()
    for place in places:
        digest.update(f"{place}\0".encode())
        folder = Path(place or "").expanduser()
        if place and folder.is_dir():
            files = sorted(path for path in folder.iterdir() if path.suffix in _SAID and path.is_file())
            digest.update(f"{files_hash(files)} {contract.weights_hash(str(folder))}".encode())
    return digest.hexdigest()
