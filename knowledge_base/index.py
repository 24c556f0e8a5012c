"""The searchable knowledge base: open an index folder, search it by words and by meaning."""

from __future__ import annotations

import hashlib
import heapq
import json
import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from agri_llm.errors import BadInput, IndexMismatch
from agri_llm.records import Hit, Passage
from knowledge_base import folder as index_folder
from knowledge_base.embedding import Embedder
from knowledge_base.postings import Mask, Rows, Terms, WordSearch
from knowledge_base.segments import DocumentEntry, Nearness, Segment, StoredPassages, Vectors
from knowledge_base.words import TOKENIZER_VERSION, words

# Share of meaning against words in the fused score, both on absolute scales (see `postings.WordSearch.terms`), and share of
# the best sentence against the whole passage within meaning. Measured on the agxqa and agask development questions by
# benchmarks/retrieval.py; the curves are in docs/benchmarks.md.
MEANING_WEIGHT = 0.59
SENTENCE_SHARE = 0.4
# Share of meaning where it compares what the glossary could say of a question in English: poorer than the question's own words,
# which meet passages in their language. Measured on Chinese questions; 0.2 to 0.4 are alike (docs/benchmarks.md).
TRANSLATED_WEIGHT = 0.3
# Scores that differ by less say nothing: half precision and signed bytes move a cosine by up to 0.003 (segments.py).
ALIKE = 0.002
CANDIDATES = 100  # of each half and segment, before fusion
BESIDE = ThreadPoolExecutor(thread_name_prefix="nearest")  # looks for meanings while the caller's thread looks for words


@dataclass(frozen=True, kw_only=True)
class View:
    """One version of the index, open and never changed: its segments and which of their passages are deleted."""

    version: Path
    manifest: dict[str, Any]
    segments: tuple[Segment, ...]
    deleted: tuple[Rows, ...]  # of each segment, ascending

    @cached_property
    def hash(self) -> str:
        """sha256 of the manifest: names everything that a search depends on."""
        return hashlib.sha256(json.dumps(self.manifest, sort_keys=True).encode()).hexdigest()

    @cached_property
    def words(self) -> WordSearch:
        """The word half of a search."""
        return WordSearch([(part.words, gone) for part, gone in zip(self.segments, self.deleted, strict=True)])

    @cached_property
    def kept(self) -> tuple[Mask | None, ...]:
        """Which passages of each segment are not deleted; None where all are there."""
        return tuple(
            _without(len(part), gone) if len(gone) else None for part, gone in zip(self.segments, self.deleted, strict=True)
        )

    @cached_property
    def languages(self) -> frozenset[str]:
        """The languages that passages are in."""
        return frozenset(language for part in self.segments for language in part.languages)

    @cached_property
    def passages(self) -> LivePassages:
        """The passages that are not deleted, in row order, read from disk one by one."""
        return LivePassages(self)

    def documents(self) -> Iterator[tuple[Segment, DocumentEntry, int]]:
        """Yield the documents that are not deleted, where they are and how many passages each has there."""
        for part, gone in zip(self.segments, self.deleted, strict=True):
            for entry in part.documents:
                count = entry.end - entry.start - int(np.diff(np.searchsorted(gone, (entry.start, entry.end)))[0])
                if count:
                    yield part, entry, count

    def named(self, document_ids: Collection[str]) -> set[str]:
        """Return which of these documents are there."""
        return {
            entry.id
            for part, gone in zip(self.segments, self.deleted, strict=True)
            for entry in part.documents.named(document_ids)
            if entry.end - entry.start > int(np.diff(np.searchsorted(gone, (entry.start, entry.end)))[0])
        }


class LivePassages(Sequence[Passage]):
    """The passages of a view."""

    def __init__(self, view: View) -> None:
        """Number the passages of all segments through, deleted ones left out."""
        self._view = view
        self._rows = [
            np.setdiff1d(np.arange(len(part)), gone, assume_unique=True)
            for part, gone in zip(view.segments, view.deleted, strict=True)
        ]
        self._ends = np.cumsum([len(rows) for rows in self._rows])

    def __len__(self) -> int:
        """How many there are."""
        return int(self._ends[-1])

    def __getitem__(self, at: Any) -> Any:
        """Return one passage; raises IndexError beyond the last."""
        if not 0 <= at < len(self):
            raise IndexError(at)
        part, row = self.place(int(at))
        return self._view.segments[part].passages[row]

    def place(self, at: int) -> tuple[int, int]:
        """Return the segment and the row of a passage."""
        part = int(np.searchsorted(self._ends, at, side="right"))
        return part, int(self._rows[part][at - (self._ends[part - 1] if part else 0)])


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """One query, ready to be compared."""

    terms: Terms
    vector: Vectors  # (dimensions,)
    weight: float  # of meaning against words
    wanted: int  # candidates of each half


class KnowledgeBase:
    """Passages that can be searched; follows the index folder when another process renews it."""

    def __init__(self, folder: Path, embedder: Embedder, *, meaning_weight: float | None = None) -> None:
        """Open the index in `folder`. Raises IndexMissing, or IndexMismatch when damaged or made by another embedder."""
        self.folder = folder
        self.embedder = embedder
        self.meaning_weight = MEANING_WEIGHT if meaning_weight is None else meaning_weight
        self._lock = threading.Lock()
        self._damage: IndexMismatch | None = None
        self._view = load_view(folder, embedder)
        self._check_big_files(self._view)

    @property
    def view(self) -> View:
        """The version in use; reloaded when the pointer of the folder has moved. Raises IndexMismatch where it is damaged."""
        if index_folder.current_version(self.folder) != self._view.version:
            with self._lock:  # one thread opens it, the others wait for that
                if index_folder.current_version(self.folder) != self._view.version:
                    self._view = load_view(self.folder, self.embedder, self._view)
                    self._damage = None
                    self._check_big_files(self._view)
        if self._damage is not None:
            raise self._damage
        return self._view

    def _check_big_files(self, view: View) -> None:
        """Hash the files that were too big to be hashed at opening, beside the first searches."""
        big = [name for name, about in view.manifest["files"].items() if about["size"] > index_folder.HASHED_AT_OPEN]

        def check() -> None:
            try:
                with index_folder.being_read(view.version):
                    index_folder.read_manifest(view.version, only=big)
            except FileNotFoundError:
                return  # a newer version took its place
            except IndexMismatch as damage:
                if self._view is view:
                    self._damage = damage

        if big:
            threading.Thread(target=check, name="index-check", daemon=True).start()

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        crop: str | Collection[str] | None = None,
        region: str | None = None,
        language: str | None = None,
        english: str = "",
    ) -> list[Hit]:
        """Return the best k passages for a query, best first; passages that share nothing with it are not returned.

        The filters act inside both halves: a passage without crop or region counts as valid for all of them. Without a
        `language`, translations are left out, since their originals are there. `english` says in English what a query in
        another language asks: an embedder that knows only English compares it, and passages of other languages than
        `language` are searched for its words.
        """
        return self.search_all([query], k, crop=crop, region=region, language=language, english=[english])[0]

    def search_all(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        crop: str | Collection[str] | None = None,
        region: str | None = None,
        language: str | None = None,
        english: Sequence[str] | None = None,
    ) -> list[list[Hit]]:
        """Search many queries at once, as `search` does each: they are embedded in batches."""
        if k < 1:
            raise BadInput(f"k is {k}", "a search returns at least one passage", "ask for 1 or more")
        view = self.view
        crops = {crop} if isinstance(crop, str) else set(crop or ())
        allowed = [
            _both(kept, part.allowed(crops, region, language)) for part, kept in zip(view.segments, view.kept, strict=True)
        ]
        searched = [number for number, mask in enumerate(allowed) if mask is None or mask.any()]
        if not queries or not searched:
            return [[] for _ in queries]
        said = [in_english or query for query, in_english in zip(queries, english or [""] * len(queries), strict=True)]
        asked = self._asked(view, queries, said, language, max(CANDIDATES, 2 * k))
        vectors = np.stack([each.vector for each in asked])
        near = {
            number: BESIDE.submit(view.segments[number].nearest_rows, vectors, asked[0].wanted, allowed[number])
            for number in searched
        }
        having = {
            number: [view.words.best(number, each.terms, each.wanted, allowed[number])[0] for each in asked]
            for number in searched
        }
        rows = {
            number: [np.union1d(*both) for both in zip(near[number].result(), having[number], strict=True)]
            for number in searched
        }
        return [
            _best([self._scored(view, number, each, rows[number][at]) for number in searched], k) if query.strip() else []
            for at, (query, each) in enumerate(zip(queries, asked, strict=True))
        ]

    def _asked(
        self, view: View, queries: Sequence[str], said: Sequence[str], language: str | None, wanted: int
    ) -> list[_Asked]:
        """Embed queries and weigh their words: their own among passages in their language, else those of the English."""
        english_only = self.embedder.english_only
        vectors = self.embedder.questions(said if english_only else queries)
        return [
            _Asked(
                terms=view.words.terms(words(query, language) if language else words(text)),
                vector=vector,
                weight=TRANSLATED_WEIGHT if language and text != query and english_only else self.meaning_weight,
                wanted=wanted,
            )
            for query, text, vector in zip(queries, said, vectors, strict=True)
        ]

    def _scored(self, view: View, number: int, asked: _Asked, rows: Rows) -> Iterator[_Candidate]:
        """Yield the candidates of a segment, both halves of their scores fused."""
        segment = view.segments[number]
        by_words = view.words.at(number, asked.terms, rows)
        nearness = segment.nearness(asked.vector, rows)
        meanings = (1 - SENTENCE_SHARE) * nearness.window + SENTENCE_SHARE * nearness.sentence
        scores = asked.weight * meanings + (1 - asked.weight) * by_words
        for at in np.lexsort((rows, -scores)):
            if scores[at] > 0:
                yield _Candidate(
                    segment, number, int(rows[at]), float(scores[at]), float(by_words[at]), float(meanings[at]), nearness, at
                )


class _Candidate(NamedTuple):
    """A passage that may be among the best."""

    segment: Segment
    number: int
    row: int
    score: float
    words: float
    meaning: float
    nearness: Nearness
    at: int

    def hit(self) -> Hit:
        """Read the passage."""
        return Hit(
            passage=self.segment.passages[self.row],
            score=self.score,
            words=self.words,
            meaning=self.meaning,
            sentences=self.nearness.sentences(self.at),
        )


def _best(segments: Sequence[Iterator[_Candidate]], k: int) -> list[Hit]:
    """Take the best of all segments, each sorted; equal scores in row order, of alike ones the newest first."""
    merged = heapq.merge(*segments, key=lambda candidate: (-candidate.score, candidate.number, candidate.row))
    return newest_first([candidate.hit() for candidate in islice(merged, k)])


def newest_first(hits: Sequence[Hit]) -> list[Hit]:
    """Put the newer of passages whose scores are alike first, those without a date last; the scores stay with the places."""
    ordered: list[Hit] = []
    while len(ordered) < len(hits):
        best = hits[len(ordered)].score
        alike = list(takewhile(lambda hit: best - hit.score < ALIKE, hits[len(ordered) :]))  # noqa: B023 - used at once
        ordered += sorted(alike, key=lambda hit: hit.passage.published or "", reverse=True)
    return [replace(hit, score=place.score) for hit, place in zip(ordered, hits, strict=True)]


def load_view(folder: Path, embedder: Embedder, before: View | None = None) -> View:
    """Load the present version of an index. Raises IndexMissing, or IndexMismatch when damaged or made by another embedder.

    Segments that are open in the view `before` are not opened again.
    """
    while True:
        version = index_folder.current_version(folder)
        try:
            with index_folder.being_read(version):
                return _load(folder, version, embedder, before)
        except FileNotFoundError as error:
            # Between our look at the pointer and the lock, writers finished twice; a writer needs far longer than that.
            if index_folder.current_version(folder) == version:
                raise IndexMismatch(
                    f"The index in {folder} cannot be trusted ({version.name} is missing)",
                    "a damaged index could cite the wrong text",
                    "build it again with `agri index build`",
                ) from error


def stored_passages(version: Path) -> tuple[dict[str, Any], list[Passage]]:
    """Return the manifest of a version and its passages, whoever embedded them. Raises IndexMismatch."""
    manifest = index_folder.read_manifest(version, only=())
    deleted = {name: f"deleted-{name}.npy" for name in manifest["segments"]}
    needed = [f"{name}/{file}" for name in manifest["segments"] for file in ("passages.jsonl", "offsets.npy")]
    index_folder.read_manifest(version, only=[*needed, *(path for path in deleted.values() if path in manifest["files"])])
    found: list[Passage] = []
    for name, path in deleted.items():
        gone = set(np.load(version / path, allow_pickle=False)) if path in manifest["files"] else set()
        found.extend(each for row, each in enumerate(StoredPassages(version / name)) if row not in gone)
    return manifest, found


def open_segments(
    version: Path, manifest: dict[str, Any], before: View | None = None
) -> tuple[tuple[Segment, ...], tuple[Rows, ...]]:
    """Open the segments of a version, and which of their passages are deleted. Raises IndexMismatch."""
    opened = {segment.name: segment for segment in before.segments} if before else {}
    try:
        segments = tuple(opened.get(name) or Segment(version / name, facts) for name, facts in manifest["segments"].items())
        deleted = tuple(
            np.load(version / path, allow_pickle=False) if path in manifest["files"] else np.zeros(0, dtype=np.int64)
            for path in (f"deleted-{name}.npy" for name in manifest["segments"])
        )
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise _unfit(version, str(error)) from error
    if not segments or not all(segment.fits() for segment in segments):
        raise _unfit(version, "passages, words and vectors do not belong together")
    return segments, deleted


def _unfit(version: Path, found: str) -> IndexMismatch:
    return IndexMismatch(
        f"The index in {version.parent} cannot be opened ({found})",
        "a damaged index could cite the wrong text",
        "build it again with `agri index build`",
    )


def _load(folder: Path, version: Path, embedder: Embedder, before: View | None) -> View:
    manifest = index_folder.read_manifest(version, hash_up_to=index_folder.HASHED_AT_OPEN)
    built_by = manifest["embedder"]
    if built_by["weights_sha256"] != embedder.weights_hash or manifest["tokenizer"] != TOKENIZER_VERSION:
        raise IndexMismatch(
            f"The index in {folder} was built with {built_by['name']} and {manifest['tokenizer']}, not with"
            f" {embedder.name} and {TOKENIZER_VERSION}",
            "their vectors and words cannot be compared",
            "set AGRI_EMBEDDER to the first, or build the index again with `agri index build`",
        )
    segments, deleted = open_segments(version, manifest, before)
    return View(version=version, manifest=manifest, segments=segments, deleted=deleted)


def _without(passages: int, gone: Rows) -> Mask:
    mask = np.ones(passages, dtype=bool)
    mask[gone] = False
    return mask


def _both(one: Mask | None, other: Mask | None) -> Mask | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other
