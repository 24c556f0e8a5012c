"""The searchable knowledge base: open an index folder, search it by words and by meaning."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agri_llm.errors import BadInput, IndexMismatch
from agri_llm.records import Hit, Passage
from knowledge_base import folder as index_folder
from knowledge_base.embedding import Embedder, Vectors
from knowledge_base.words import TOKENIZER_VERSION, WordIndex

# Share of meaning against words in the fused score, both on absolute scales (see `words.WordIndex.scores`), and share of the
# best sentence against the whole passage within meaning. Measured on the agxqa and agask development questions by
# benchmarks/retrieval.py; the curves are in docs/benchmarks.md.
MEANING_WEIGHT = 0.59
SENTENCE_SHARE = 0.4
CANDIDATES = 100  # of each half, before fusion


@dataclass(frozen=True, kw_only=True)
class View:
    """One version of the index, loaded and never changed: passages in row order, vectors, words."""

    version: Path
    manifest: dict[str, Any]
    passages: tuple[Passage, ...]
    windows: Any  # faiss.IndexFlatIP, (windows, dimensions)
    rows: NDArray[np.int64]  # (windows,) passage row of each window, ascending
    sentences: NDArray[np.float16]  # (sentences, dimensions)
    sentence_rows: NDArray[np.int64]  # (sentences,) passage row of each sentence, ascending
    words: WordIndex

    @property
    def hash(self) -> str:
        """sha256 of the manifest: names everything that a search depends on."""
        return hashlib.sha256(json.dumps(self.manifest, sort_keys=True).encode()).hexdigest()


class KnowledgeBase:
    """Passages that can be searched; follows the index folder when another process renews it."""

    def __init__(self, folder: Path, embedder: Embedder, *, meaning_weight: float | None = None) -> None:
        """Open the index in `folder`. Raises IndexMissing, or IndexMismatch when damaged or made by another embedder."""
        self.folder = folder
        self.embedder = embedder
        self.meaning_weight = MEANING_WEIGHT if meaning_weight is None else meaning_weight
        self._view = load_view(folder, embedder)

    @property
    def view(self) -> View:
        """The version in use; reloaded when the pointer of the folder has moved."""
        if index_folder.current_version(self.folder) != self._view.version:
            self._view = load_view(self.folder, self.embedder)
        return self._view

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        crop: str | Collection[str] | None = None,
        region: str | None = None,
        language: str | None = None,
    ) -> list[Hit]:
        """Return the best k passages for a query, best first; passages that share nothing with it are not returned.

        The filters act inside both halves: a passage without crop or region counts as valid for all of them.
        """
        return self.search_all([query], k, crop=crop, region=region, language=language)[0]

    def search_all(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        crop: str | Collection[str] | None = None,
        region: str | None = None,
        language: str | None = None,
    ) -> list[list[Hit]]:
        """Search many queries at once: they are embedded in batches."""
        if k < 1:
            raise BadInput(f"k is {k}", "a search returns at least one passage", "ask for 1 or more")
        view = self.view
        allowed = _allowed(view.passages, crop=crop, region=region, language=language)
        if not queries or (allowed is not None and not allowed.any()):
            return [[] for _ in queries]
        vectors = self.embedder.questions(queries)
        found = self._meanings(view, vectors, allowed, k)
        return [
            self._fuse(view, query, vector, rows, allowed, k)
            for query, vector, rows in zip(queries, vectors, found, strict=True)
        ]

    def _meanings(self, view: View, queries: Vectors, allowed: NDArray[np.bool_] | None, k: int) -> NDArray[np.int64]:
        """Rows of the passages nearest in meaning, (queries, candidates); -1 where there are fewer."""
        import faiss

        wanted = min(max(CANDIDATES, 2 * k), view.windows.ntotal)
        options = None
        if allowed is not None:
            windows = np.flatnonzero(allowed[view.rows])
            options = faiss.SearchParameters(sel=faiss.IDSelectorBatch(windows))  # type: ignore[call-arg]
        _, windows_found = view.windows.search(queries, wanted, params=options)
        return np.where(windows_found >= 0, view.rows[windows_found], -1)

    def _fuse(
        self,
        view: View,
        query: str,
        vector: Vectors,
        meaning_rows: NDArray[np.int64],
        allowed: NDArray[np.bool_] | None,
        k: int,
    ) -> list[Hit]:
        if not query.strip():
            return []
        by_words = view.words.scores(query)
        if allowed is not None:
            by_words = np.where(allowed, by_words, 0)
        wanted = min(max(CANDIDATES, 2 * k), len(by_words))
        word_rows = np.argpartition(-by_words, wanted - 1)[:wanted]
        rows = np.union1d(meaning_rows[meaning_rows >= 0], word_rows[by_words[word_rows] > 0])
        meanings, sentences = _meanings_of(view, vector, rows)
        scores = self.meaning_weight * meanings + (1 - self.meaning_weight) * by_words[rows]
        best = np.lexsort((rows, -scores))[:k]
        return [
            Hit(
                passage=view.passages[rows[at]],
                score=float(scores[at]),
                words=float(by_words[rows[at]]),
                meaning=float(meanings[at]),
                sentences=tuple(map(float, sentences[at])),
            )
            for at in best
            if scores[at] > 0
        ]


def load_view(folder: Path, embedder: Embedder) -> View:
    """Load the present version of an index. Raises IndexMissing, or IndexMismatch when damaged or made by another embedder."""
    while True:
        version = index_folder.current_version(folder)
        try:
            return _load(folder, version, embedder)
        except (IndexMismatch, OSError, RuntimeError, ValueError):
            # A writer that finished twice meanwhile has deleted the files under our hands.
            if index_folder.current_version(folder) == version:
                raise


def stored_passages(version: Path) -> tuple[Passage, ...]:
    """Return the passages of a version, in row order."""
    with (version / "passages.jsonl").open(encoding="utf-8") as lines:
        return tuple(_passage(json.loads(line)) for line in lines)


def _load(folder: Path, version: Path, embedder: Embedder) -> View:
    import faiss

    manifest = index_folder.read_manifest(version)
    built_by = manifest["embedder"]
    if built_by["weights_sha256"] != embedder.weights_hash or manifest["tokenizer"] != TOKENIZER_VERSION:
        raise IndexMismatch(
            f"The index in {folder} was built with {built_by['name']} and {manifest['tokenizer']}, not with"
            f" {embedder.name} and {TOKENIZER_VERSION}",
            "their vectors and words cannot be compared",
            "set AGRI_EMBEDDER to the first, or build the index again with `agri index build`",
        )
    passages = stored_passages(version)
    view = View(
        version=version,
        manifest=manifest,
        passages=passages,
        windows=faiss.read_index(str(version / "windows.faiss")),
        rows=np.load(version / "rows.npy", allow_pickle=False),
        sentences=np.load(version / "sentences.npy", allow_pickle=False, mmap_mode="r"),
        sentence_rows=np.load(version / "sentence_rows.npy", allow_pickle=False),
        words=WordIndex.open(version / "words"),
    )
    if not len(passages) == manifest["passages"] == view.words.passages or view.windows.ntotal != len(view.rows):
        raise IndexMismatch(
            f"The index in {folder} holds {len(passages)} passages, {view.words.passages} word rows and"
            f" {view.windows.ntotal} vectors",
            "they do not belong together",
            "build it again with `agri index build`",
        )
    return view


def _passage(row: dict[str, Any]) -> Passage:
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    return Passage(**fields)


def _meanings_of(view: View, query: Vectors, rows: NDArray[np.int64]) -> tuple[Vectors, list[Vectors]]:
    """How near passages are to a query, (rows,), from 0 to 1, and the cosine of every sentence of each."""
    windows = _cosines(query, view.windows.reconstruct_batch, view.rows, rows)
    sentences = _cosines(query, lambda at: np.asarray(view.sentences[at], dtype=np.float32), view.sentence_rows, rows)
    best = np.array([part.max(initial=0) for part in windows], dtype=np.float32)
    nearest = np.array([part.max(initial=0) for part in sentences], dtype=np.float32)
    return (1 - SENTENCE_SHARE) * best + SENTENCE_SHARE * nearest, sentences


def _cosines(
    query: Vectors, vectors_at: Callable[[NDArray[np.int64]], Vectors], rows_of: NDArray[np.int64], rows: NDArray[np.int64]
) -> list[Vectors]:
    """Cosines of a query, (dimensions,), with the pieces of each passage, one array per row."""
    starts = np.searchsorted(rows_of, rows)
    ends = np.searchsorted(rows_of, rows, side="right")
    at = np.concatenate([np.arange(start, end) for start, end in zip(starts, ends, strict=True)])
    cosines = vectors_at(at) @ query if len(at) else np.zeros(0, dtype=np.float32)
    return np.split(cosines, np.cumsum(ends - starts)[:-1])


def _allowed(
    passages: Iterable[Passage], *, crop: str | Collection[str] | None, region: str | None, language: str | None
) -> NDArray[np.bool_] | None:
    """Which passages a filter lets through, (passages,); None when there is no filter."""
    if not (crop or region or language):
        return None
    wanted = {crop} if isinstance(crop, str) else set(crop or ())
    return np.fromiter(
        (
            (not wanted or not passage.crop or "any" in passage.crop or not wanted.isdisjoint(passage.crop))
            and (not region or not passage.region or region in passage.region or "world" in passage.region)
            and (not language or passage.language == language)
            for passage in passages
        ),
        dtype=bool,
    )
