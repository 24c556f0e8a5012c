"""Whether rows to learn from repeat what a model is to be tested with: common runs of words with every evaluation file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import regex

from agri_llm.errors import BadInput
from training import cases, rows
from training.cleaning import hash_of
from training.rows import Row, answers_of, question_of

# Runs of 13 words, as for GPT-3 (Brown et al. 2020, arXiv 2005.14165, appendix C); of 8 in texts with fewer than 13.
LONG, SHORT = 13, 8
CHARACTERS_PER_WORD = 1.7  # Chinese characters that say what an English word does, as in agri_llm/questions.py
ASKED = ("question", "prompt", "instruction", "input", "query", "text", "messages", "conversations")
ANSWERED = ("answer", "output", "reference", "response", "completion")
QUOTED = (
    "passages",
    "passage",
    "sheet",
    "sheets",
    "document_id",
    "documents",
    "source_sheet",
)  # its answer stands in a document
_TOKEN = regex.compile(r"\p{Han}|[^\W_]+")
_HAN = regex.compile(r"\p{Han}")


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """A row that repeats an evaluation case, and the words they share."""

    row: str
    case: str
    words: str


class Contamination:
    """Knows the runs of words of evaluation files, and finds them in rows."""

    def __init__(self, files: Iterable[Path]) -> None:
        """Read evaluation files. Raises BadInput where one cannot be read."""
        self.files = list(files)
        self._runs: dict[int, dict[int, str]] = {}  # length of a run → hash of the run → the case it is from
        self._whole: dict[int, str] = {}  # hash of a short question → the case it is
        for file in self.files:
            for where, case in _cases(file):
                for text in texts_of(case):
                    self._add(text, where)

    def _add(self, text: str, where: str) -> None:
        words = tokens(text)
        length = _length(words)
        if length:
            runs = self._runs.setdefault(length, {})
            runs.update((key, where) for key, _ in _runs(words, length))
        elif words:
            self._whole.setdefault(hash_of(" ".join(words)), where)

    def overlap(self, row: Row) -> Overlap | None:
        """Return what a row shares with an evaluation case: in its question or in what it teaches to write."""
        asked = tokens(question_of(row))
        if where := self._whole.get(hash_of(" ".join(asked))) if asked else None:
            return Overlap(row=row.id, case=where, words=" ".join(asked))
        for words in (asked, *map(tokens, answers_of(row))):
            for length, known in self._runs.items():
                for key, start in _runs(words, length):
                    if key in known:
                        return Overlap(row=row.id, case=known[key], words=" ".join(words[start : start + length]))
        return None


def files_of(named: Iterable[str]) -> list[Path]:
    """Return the evaluation files that a configuration names; "shipped" stands for those of the project. Raises BadInput."""
    found: list[Path] = []
    for name in named:
        path = cases.SHIPPED if name == "shipped" else Path(name)
        found += sorted(path.glob("*.json*")) if path.is_dir() else [path]
        if name != "shipped" and not path.exists():
            raise BadInput(f"the evaluation file {name} is not there", "nobody could tell whether rows repeat it", "correct it")
    return [path for path in dict.fromkeys(found) if path.exists()]


def stopped(overlap: Overlap) -> BadInput:
    """Return the sentence that stops a build."""
    return BadInput(
        f"the row {overlap.row} repeats {overlap.case} {overlap.words!r}",
        "a model that learns it is not tested by that case any more",
        "take the row or the case out, or set leave_out_overlaps: true to leave such rows out",
    )


def tokens(text: str) -> list[str]:
    """Return the words of a text in small letters; of Chinese each character."""
    found: list[str] = _TOKEN.findall(text.casefold())
    return found


def texts_of(case: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a case asks, and its answer where that is not a quote of a document that everybody may look up."""
    fields = ASKED if any(case.get(name) for name in QUOTED) else (*ASKED, *ANSWERED)
    for name in fields:
        value = case.get(name)
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            for turn in value:
                said = (
                    turn
                    if isinstance(turn, str)
                    else (turn.get("content") or turn.get("value"))
                    if isinstance(turn, dict)
                    else ""
                )
                yield from [said] if isinstance(said, str) and said else []


def _cases(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if file.suffix == ".csv":
        yield from rows.table(file, ("question",))
    else:
        yield from rows.objects(file)


def _length(words: list[str]) -> int:
    """Return the length of the runs to compare a text by, 0 where it is too short for any."""
    han = sum(bool(_HAN.match(word)) for word in words)
    scale = CHARACTERS_PER_WORD if 2 * han > len(words) else 1.0
    return next((round(length * scale) for length in (LONG, SHORT) if len(words) >= round(length * scale)), 0)


def _runs(words: list[str], length: int) -> Iterator[tuple[int, int]]:
    for start in range(len(words) - length + 1):
        yield hash(tuple(words[start : start + length])), start
