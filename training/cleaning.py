"""What is taken out of rows before a model sees them: personal data, wrong lengths, wrong languages, damage, repetitions."""

from __future__ import annotations

import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, islice
from typing import TYPE_CHECKING, Protocol

import regex

from agri_llm.personal import scrubbed
from agri_llm.prompts import REFUSAL_MARK
from agri_llm.records import Message
from knowledge_base.languages import language_of
from knowledge_base.passages import measure
from training.data_config import DataConfig
from training.rows import Row, answers_of, question_of

if TYPE_CHECKING:
    from training.text_quality import QualityFilter

Step = Callable[[Iterable[Row], Counter[str]], Iterator[Row]]
Judge = Callable[[Sequence[str]], "QualityFilter"]
SHINGLE = 5  # words, or Chinese characters, that are compared together (Lee et al. 2022, arXiv 2107.06499)
PERMUTATIONS = 128
TELLING_CHARACTERS = 80  # shorter texts do not show their language well enough to drop a row for it
TOGETHER = 512  # texts judged at once
FEWEST_CHARACTERS = 60  # shorter texts are not judged: a name or a number alone is not damaged
OURS = ("sheets",)  # sorts whose text was checked when it was written
# Languages that py3langid takes for one another in short texts of this trade.
_ALIKE = {"en": {"en"}, "zh": {"zh", "ja"}}
_CONTROL = regex.compile(r"[\p{Cc}\p{Cs}\u200b\u2060\ufeff--[\n\t]]", regex.V1)
_MARKS = regex.compile(r"\[\d{1,3}\]")  # numbers of citations are no damage
_TOKEN = regex.compile(r"\p{Han}|[^\W_]+")


class Sorted(Protocol):
    """Says how a source was read."""

    def __call__(self, name: str) -> str:
        """Return the sort of the source with this name."""


def cleaned(config: DataConfig, sort_of: Sorted) -> Step:
    """Return the step that makes texts alike, takes personal data out and drops rows of the wrong length or language."""

    def step(rows: Iterable[Row], counts: Counter[str]) -> Iterator[Row]:
        for row in rows:
            tidy = _with(row, plain)
            if sort_of(row.source) not in OURS:
                tidy = _with(tidy, lambda text: _scrub(text, counts))
            reason = problem(tidy, config)
            if reason:
                counts[reason] += 1
            else:
                yield tidy

    return step


def plain(text: str) -> str:
    """Return a text in NFC with plain line ends, without control characters and spaces at the ends of lines."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    tidy: str = regex.sub(r"\n{3,}", "\n\n", regex.sub(r"[ \t]+\n", "\n", _CONTROL.sub("", text)))
    return tidy.strip()


def _scrub(text: str, counts: Counter[str]) -> str:
    text, found = scrubbed(text)
    counts.update({f"scrubbed {kind}": number for kind, number in found.items()})
    return text


def _with(row: Row, change: Callable[[str], str]) -> Row:
    messages: tuple[Message, ...] = tuple({**message, "content": change(message["content"])} for message in row.messages)
    return replace(row, messages=messages, text=change(row.text))


def problem(row: Row, config: DataConfig) -> str:
    """Return why a row is of no use, or ""."""
    said = " ".join(answers_of(row))
    whole = measure(" ".join((row.text, *(message["content"] for message in row.messages))))
    if not said.strip() or (row.messages and not question_of(row).strip()):
        return "empty"
    if measure(said) < config.fewest_words:
        return "too short"
    if row.messages and whole > config.longest_words:  # a text to read on is cut into pieces when it is learned
        return "too long"
    if row.language not in config.languages:
        return f"language {row.language}"
    if REFUSAL_MARK in said or len(said) < TELLING_CHARACTERS:
        return ""
    found = language_of(said)
    return "" if found in _ALIKE.get(row.language, {row.language}) else f"stated {row.language}, written {found}"


def sound(config: DataConfig, judge: Judge, sort_of: Sorted) -> Step:
    """Return the step that drops damaged texts; for each source of others `judge` is taught with the first that it gives."""

    def step(rows: Iterable[Row], counts: Counter[str]) -> Iterator[Row]:
        filters: dict[str, QualityFilter] = {}
        for source, of_source in groupby(rows, lambda row: row.source):
            if sort_of(source) in OURS:
                yield from of_source
                continue
            while group := list(islice(of_source, TOGETHER)):
                texts = [_MARKS.sub("", "\n".join(answers_of(row))) for row in group]
                judged = [at for at, text in enumerate(texts) if len(text) >= FEWEST_CHARACTERS]
                if judged and source not in filters:
                    filters[source] = judge([texts[at] for at in judged])
                scores = filters[source].soundness([texts[at] for at in judged]) if judged else ()
                damaged = {at for at, score in zip(judged, scores, strict=True) if score < config.quality}
                counts["damaged"] += len(damaged)
                yield from (row for at, row in enumerate(group) if at not in damaged)

    return step


def unrepeated(config: DataConfig) -> Step:
    """Return the step that keeps the first of equal and nearly equal rows: question and answer are compared, not passages."""

    def step(rows: Iterable[Row], counts: Counter[str]) -> Iterator[Row]:
        near = NearDuplicates(config.near_duplicate)
        seen: set[int] = set()
        for row in rows:
            said = f"{question_of(row)}\n{' '.join(answers_of(row))}"
            asked = f"{said}\n{row.messages[-2]['content'] if row.messages else ''}"
            key = hash_of(" ".join(asked.split()).casefold())
            if key in seen:
                counts["equal"] += 1
                continue
            seen.add(key)
            # Refusals and questions back share their answers by design; what differs is what they are about.
            if row.kind not in ("refusal", "clarification") and near.met(said, row.kind):
                counts["nearly equal"] += 1
            else:
                yield row

    return step


def hash_of(text: str) -> int:
    """Return 64 bits that name a text, the same on every run."""
    data = text.encode("utf-8", "replace")
    return (zlib.crc32(data) << 32) | zlib.crc32(data[::-1] + b"/")


class NearDuplicates:
    """Remembers texts by MinHash (Broder 1997); texts that differ in a number are never nearly equal: another dose is another
    fact."""

    def __init__(self, threshold: float) -> None:
        """Take the share of common shingles (Jaccard) from which texts are nearly equal."""
        from datasketch import MinHash, MinHashLSH

        self._threshold = threshold
        self._index = MinHashLSH(threshold=max(0.1, threshold - 0.1), num_perm=PERMUTATIONS)
        self._blank = MinHash(num_perm=PERMUTATIONS, hashfunc=zlib.crc32)
        self._shingles: list[tuple[frozenset[int], tuple[str, ...]]] = []

    def met(self, text: str, kind: str = "") -> bool:
        """Return whether a nearly equal text was met before; one that was not is remembered."""
        return self._look(text, kind, remember=True)

    def knows(self, text: str, kind: str = "") -> bool:
        """Return whether a nearly equal text was met before, and remember nothing."""
        return self._look(text, kind, remember=False)

    def _look(self, text: str, kind: str, *, remember: bool) -> bool:
        words = _TOKEN.findall(text.casefold())
        pieces = [" ".join(words[at : at + SHINGLE]).encode() for at in range(max(1, len(words) - SHINGLE + 1))]
        sketch = self._blank.copy()
        sketch.update_batch(pieces)
        shingles = frozenset(zlib.crc32(piece) for piece in pieces)
        numbers = (kind, *sorted(word for word in words if word[0].isdigit()))
        for place in self._index.query(sketch):
            others, theirs = self._shingles[place]
            if numbers == theirs and len(shingles & others) >= self._threshold * len(shingles | others):
                return True
        if remember:
            self._index.insert(len(self._shingles), sketch)
            self._shingles.append((shingles, numbers))
        return False


def judged_by(texts: Callable[[], Sequence[str]], seed: int) -> Judge:
    """Return a function that teaches a filter with these texts and some of those it is to judge."""

    def judge(judged: Sequence[str]) -> QualityFilter:
        from training.text_quality import QualityFilter

        return QualityFilter(texts(), seed, judged)

    return judge
