"""Replies that are kept, so that evaluating again costs nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from training.cases import Case
from training.replies import Reply, Respondent


class Kept:
    """Replies kept in a file of JSON lines named after the contract: what was asked before is not asked again.

    Each reply is written at once, so a run that was killed goes on where it was; a line cut in the middle is left out.
    """

    def __init__(self, respondent: Respondent, folder: Path) -> None:
        self.asked = 0  # replies that were not there
        self._respondent = respondent
        name = hashlib.sha256(json.dumps(dict(respondent.contract), sort_keys=True).encode()).hexdigest()[:24]
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{name}.jsonl"
        self._held = self._read()

    @property
    def contract(self) -> Mapping[str, str]:
        """That of the respondent."""
        return self._respondent.contract

    def prompt(self, case: Case) -> str:
        """That of the respondent."""
        return self._respondent.prompt(case)

    def reply(self, case: Case) -> Reply:
        """Return the reply that is kept, or ask and keep it."""
        key = hashlib.sha256(self.prompt(case).encode()).hexdigest()
        if key not in self._held:
            self._held[key] = self._respondent.reply(case)
            self.asked += 1
            with self._path.open("a", encoding="utf-8") as file:
                file.write(_line(key, self._held[key]))
        return self._held[key]

    def _read(self) -> dict[str, Reply]:
        held: dict[str, Reply] = {}
        if not self._path.is_file():
            return held
        for line in self._path.read_text(encoding="utf-8").split("\n"):
            try:
                row = json.loads(line)
                held[row["key"]] = Reply.from_json(row["reply"])
            except (ValueError, KeyError, TypeError):  # cut while it was written
                continue
        if held:  # end a line that was cut, so that the next one begins on its own
            lines = (_line(key, each) for key, each in held.items())
            self._path.write_text("".join(lines), encoding="utf-8")
        return held


def _line(key: str, reply: Reply) -> str:
    return json.dumps({"key": key, "reply": asdict(reply)}, ensure_ascii=False) + "\n"
