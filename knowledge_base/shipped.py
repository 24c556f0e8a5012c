"""The corpus that ships with the project: find its sheets, keep an index of them up to date, reuse the shipped vectors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from agri_llm.errors import DocumentUnreadable, IndexMismatch, IndexMissing
from agri_llm.records import Passage
from knowledge_base import builder
from knowledge_base import folder as index_folder
from knowledge_base.builder import Known, Progress
from knowledge_base.documents import read_all
from knowledge_base.embedding import Embedder
from knowledge_base.index import load_view, stored_passages
from knowledge_base.passages import cut
from knowledge_base.segments import Pair
from knowledge_base.terms import Glossary

CORPUS = Path(__file__).parent / "corpus"
VECTORS = CORPUS / "vectors.safetensors"


def sheets() -> list[Passage]:
    """Return the passages of the shipped sheets; raises DocumentUnreadable when one of them is damaged."""
    documents = []
    for document in read_all(_folders()):
        if isinstance(document, DocumentUnreadable):
            raise document
        documents.append(document)
    glossary = Glossary.load()
    return [replace(passage, crop=glossary.crop_ids(passage.crop)) for document in documents for passage in cut(document)]


def _folders() -> list[Path]:
    """One folder of sheets a language."""
    return sorted(path for path in CORPUS.iterdir() if path.is_dir() and any(path.glob("*.md")))


def release() -> str:
    """Name the sheets of this release and the way they are read and cut (sha256), without reading them as documents."""
    digest = hashlib.sha256()
    code = Path(__file__).parent
    read_by = [code / f"{name}.py" for name in ("documents", "texts", "passages")]
    for path in (*read_by, code / "terms.csv", *(path for folder in _folders() for path in sorted(folder.glob("*.md")))):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def originals(passages: Iterable[Passage]) -> dict[str, Passage]:
    """Map each passage of a translated document to the one it says in another language: same section, same place in it."""
    documents: dict[str, list[list[Passage]]] = {}
    for passage in passages:
        sections = documents.setdefault(passage.document_id, [])
        if sections and sections[-1][0].heading == passage.heading:
            sections[-1].append(passage)
        else:
            sections.append([passage])
    found: dict[str, Passage] = {}
    for sections in documents.values():
        theirs = documents.get(sections[0][0].twin_of, [])
        if len(theirs) != len(sections):
            continue  # other sections: their passages say other things
        for own, other in zip(sections, theirs, strict=True):
            found |= {passage.id: other[min(at, len(other) - 1)] for at, passage in enumerate(own)}
    return found


def ensure(folder: Path, embedder: Embedder, *, progress: Progress | None = None) -> bool:
    """Make `folder` hold an index with the present sheets: build it, or renew the sheets in it. True when it was written.

    An index that a person built from other documents is left alone, and so are documents added beside the sheets; also where
    another embedder built it or its vectors are damaged. Raises IndexMismatch when the passages in it cannot be read.
    """
    now = release()
    if not _wants_renewal(folder, embedder, now):
        return False
    passages = sheets()
    corpus = stamp(passages)
    with index_folder.only_writer(folder):
        if not _wants_renewal(folder, embedder, now):  # another writer was faster
            return False
        held, there = _held(folder)
        pairs = originals(passages)
        try:
            load_view(folder, embedder)
        except (IndexMissing, IndexMismatch):
            ours = {*held["documents"], *corpus["documents"]}
            others = [passage for passage in there if passage.document_id not in ours]
            known = builder.first_of(builder.known_vectors(folder, embedder), shipped_vectors(embedder))
            builder.build(
                folder, [*passages, *others], embedder, known=known, originals=pairs, corpus=corpus, progress=progress
            )
        else:
            known = shipped_vectors(embedder)
            old = held["documents"]
            builder.add(
                folder, passages, embedder, instead_of=old, known=known, originals=pairs, corpus=corpus, progress=progress
            )
    return True


def _wants_renewal(folder: Path, embedder: Embedder, sheets_hash: object) -> bool:
    try:
        held = load_view(folder, embedder).manifest.get("corpus")
    except IndexMissing:
        return True
    except IndexMismatch:
        return _held(folder)[0] is not None
    return held is not None and held["hash"] != sheets_hash


def _held(folder: Path) -> tuple[Any, list[Passage]]:
    """What the manifest says of the sheets, None in an index of a person's own, and the passages; vectors are not looked at."""
    try:
        manifest, passages = stored_passages(index_folder.current_version(folder))
    except IndexMissing:
        return {"documents": []}, []
    return manifest.get("corpus"), passages


def stamp(passages: Iterable[Passage]) -> dict[str, Any]:
    """Return what an index remembers of the sheets in it, so that `ensure` can renew them and nothing else."""
    return {"hash": release(), "documents": sorted({passage.document_id for passage in passages})}


def shipped_vectors(embedder: Embedder) -> Known:
    """Return the vectors that ship with the sheets, so that a first start need not compute them.

    They are used only for the embedder that made them and, by key, only for text that has not changed; else nothing is
    returned and everything is computed.
    """
    from safetensors import SafetensorError, safe_open

    if not VECTORS.is_file():
        return {}
    try:
        with safe_open(str(VECTORS), framework="numpy") as file:
            about = json.loads(file.metadata()["agri"])
            if about["weights_sha256"] != embedder.weights_hash:
                return {}
            matrix = file.get_tensor("vectors")
    except SafetensorError:
        return {}
    if hashlib.sha256(matrix.tobytes()).hexdigest() != about["vectors_sha256"]:
        return {}
    matrix = matrix.astype(np.float32)
    known: dict[str, Pair] = {}
    at = 0
    for key, windows, sentences in about["passages"]:
        known[key] = (matrix[at : at + windows], matrix[at + windows : at + windows + sentences])
        at += windows + sentences
    return known


def write_shipped_vectors(embedder: Embedder, progress: Progress | None = None) -> int:
    """Compute and write the vectors of the sheets into the package; returns how many passages they cover."""
    from safetensors.numpy import save_file

    passages = sheets()
    made = dict(builder.embed(passages, embedder, shipped_vectors(embedder), progress, originals=originals(passages)))
    pairs = list(made.values())
    matrix = np.vstack([np.vstack(pair) for pair in pairs]).astype(np.float16)
    about = {
        "embedder": embedder.name,
        "weights_sha256": embedder.weights_hash,
        "vectors_sha256": hashlib.sha256(matrix.tobytes()).hexdigest(),
        "passages": [[key, len(windows), len(sentences)] for key, (windows, sentences) in made.items()],
    }
    save_file({"vectors": matrix}, str(VECTORS), metadata={"agri": json.dumps(about)})
    VECTORS.chmod(0o644)  # the library lets nobody else read it
    return len(passages)
