"""Write an index folder: build it, add documents to it, remove some; what did not change is not embedded again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agri_llm.errors import BadInput, IndexMismatch, IndexMissing
from agri_llm.records import Passage, now
from agri_llm.sentences import split
from knowledge_base import folder as index_folder
from knowledge_base.embedding import Embedder, Vectors
from knowledge_base.index import View, load_view
from knowledge_base.words import TOKENIZER_VERSION, WordIndex

Progress = Callable[[int, int], None]
Known = dict[str, tuple[Vectors, Vectors]]  # vector key → vectors of windows, vectors of sentences


def build(
    folder: Path,
    passages: Sequence[Passage],
    embedder: Embedder,
    *,
    known: Known | None = None,
    corpus: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> None:
    """Write an index of `passages` into `folder` and make it the current one; an index already there stays until then.

    `known` holds vectors made earlier, by `vector_key`; they are not computed again. `corpus` is kept in the manifest.
    Raises BadInput when there is nothing to index or two passages have one id, KnowledgeError while another writer is at it.
    """
    if not passages:
        raise BadInput("There is not one passage to index", "an empty index answers nothing", "name files with text")
    if len({passage.id for passage in passages}) != len(passages):
        raise BadInput(
            "Two passages have the same id", "a citation could open the wrong one", "remove the document given twice"
        )
    with index_folder.only_writer(folder):
        _write(folder, passages, embedder, embed(passages, embedder, known or {}, progress), corpus)


def _write(
    folder: Path,
    passages: Sequence[Passage],
    embedder: Embedder,
    vectors: Sequence[tuple[Vectors, Vectors]],
    corpus: dict[str, Any] | None,
) -> None:
    import faiss

    windows = np.ascontiguousarray(np.vstack([pair[0] for pair in vectors]), dtype=np.float32)
    sentences = np.vstack([pair[1] for pair in vectors]).astype(np.float16)
    if not np.isfinite(windows).all():
        raise BadInput("The embedder made vectors that are not numbers", "they can never be found", "use another embedder")
    flat = faiss.IndexFlatIP(embedder.dimension)
    flat.add(windows)
    manifest = {
        "created": now().isoformat(timespec="seconds"),
        "embedder": {"name": embedder.name, "weights_sha256": embedder.weights_hash, "dimension": embedder.dimension},
        "tokenizer": TOKENIZER_VERSION,
        "passages": len(passages),
        "windows": len(windows),
        "sentences": len(sentences),
        "corpus": corpus,
    }
    with index_folder.new_version(folder, manifest) as version:
        lines = (json.dumps(asdict(passage), ensure_ascii=False) for passage in passages)
        (version / "passages.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        faiss.write_index(flat, str(version / "windows.faiss"))
        np.save(version / "rows.npy", _repeat([len(pair[0]) for pair in vectors]), allow_pickle=False)
        np.save(version / "sentences.npy", sentences, allow_pickle=False)
        np.save(version / "sentence_rows.npy", _repeat([len(pair[1]) for pair in vectors]), allow_pickle=False)
        (version / "words").mkdir()
        WordIndex.build([_searchable(passage) for passage in passages]).save(version / "words")


def add(folder: Path, passages: Sequence[Passage], embedder: Embedder, *, progress: Progress | None = None) -> None:
    """Add passages; those of documents that are already there replace the old ones."""
    new_documents = {passage.document_id for passage in passages}
    _rewrite(folder, embedder, new_documents, passages, progress)


def remove(folder: Path, document_ids: Collection[str], embedder: Embedder) -> int:
    """Remove documents by id and return how many passages went; raises BadInput when one of the ids is not there."""
    index_folder.current_version(folder)  # where there is no index, no folder is made either
    with index_folder.only_writer(folder):
        before = load_view(folder, embedder).passages
        gone = sum(passage.document_id in document_ids for passage in before)
        unknown = sorted(set(document_ids) - {passage.document_id for passage in before})
        if unknown:
            raise BadInput(
                f"The index has no document {', '.join(map(repr, unknown))}",
                "nothing was removed",
                "see `agri index list` for the ids",
            )
        _rewrite(folder, embedder, document_ids, (), None)
    return gone


def known_vectors(folder: Path, embedder: Embedder) -> Known:
    """Return the vectors of an index by `vector_key`; empty when there is none, it is damaged, or of another embedder."""
    try:
        return _vectors_of(load_view(folder, embedder))
    except (IndexMissing, IndexMismatch):
        return {}


def vector_key(passage: Passage) -> str:
    """Name what is embedded of a passage: the same key means the same vectors (sha256)."""
    sentences = (span.text for span in split(passage.text))
    return hashlib.sha256("\0".join((_heading(passage), passage.text, *sentences)).encode()).hexdigest()


def _rewrite(
    folder: Path, embedder: Embedder, gone: Collection[str], new: Sequence[Passage], progress: Progress | None
) -> None:
    index_folder.current_version(folder)  # where there is no index, no folder is made either
    with index_folder.only_writer(folder):  # what is kept was read under the lock, so no other writer's work is lost
        view = load_view(folder, embedder)
        kept = [passage for passage in view.passages if passage.document_id not in gone]
        corpus = view.manifest.get("corpus")
        build(folder, [*kept, *new], embedder, known=_vectors_of(view), corpus=corpus, progress=progress)


def _vectors_of(view: View) -> Known:
    matrix = view.windows.reconstruct_n(0, view.windows.ntotal)
    numbers = np.arange(len(view.passages) + 1)
    windows = np.searchsorted(view.rows, numbers)
    sentences = np.searchsorted(view.sentence_rows, numbers)
    return {
        vector_key(passage): (
            matrix[windows[row] : windows[row + 1]],
            np.asarray(view.sentences[sentences[row] : sentences[row + 1]], dtype=np.float32),
        )
        for row, passage in enumerate(view.passages)
        if sentences[row + 1] - sentences[row] == len(split(passage.text))  # else another release cut it into sentences
    }


def embed(
    passages: Sequence[Passage], embedder: Embedder, known: Known, progress: Progress | None
) -> list[tuple[Vectors, Vectors]]:
    """Vectors of windows and sentences for every passage; each sentence of `sentences.split` has one, in order."""
    keys = [vector_key(passage) for passage in passages]
    missing = {key: passage for key, passage in zip(keys, passages, strict=True) if key not in known}
    new = list(missing.values())
    windows = [embedder.windows(passage.text, _heading(passage)) for passage in new]
    spans = [[span.text for span in split(passage.text)] for passage in new]
    texts = [text for group in (*windows, *spans) for text in group]
    ends = np.cumsum([0] + [len(group) for group in (*windows, *spans)])
    vectors = embedder.pieces(texts, progress)
    parts = [vectors[start:end] for start, end in pairwise(ends)]
    made = {key: (parts[row], parts[len(new) + row]) for row, key in enumerate(missing)}
    return [made[key] if key in made else known[key] for key in keys]


def _repeat(counts: Sequence[int]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(counts)), counts)


def _heading(passage: Passage) -> str:
    return ". ".join(part for part in (passage.title, passage.heading) if part)


def _searchable(passage: Passage) -> str:
    return f"{_heading(passage)}\n{passage.text}"
