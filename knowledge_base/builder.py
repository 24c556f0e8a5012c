"""Write an index folder: build it, add documents to it, remove some; what did not change is not embedded again.

Adding writes a small segment beside the others and removing marks rows as deleted, so both take no longer in a big index;
small segments are joined now and then.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import ChainMap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agri_llm.errors import BadInput, IndexMismatch, IndexMissing
from agri_llm.records import Passage, new_id, now
from agri_llm.sentences import split
from knowledge_base import folder as index_folder
from knowledge_base import segments as segment_files
from knowledge_base import unfinished
from knowledge_base.embedding import Embedder
from knowledge_base.index import View, load_view, open_segments
from knowledge_base.postings import Rows
from knowledge_base.segments import KEY_BYTES, Pair, Segment
from knowledge_base.unfinished import Unfinished
from knowledge_base.words import TOKENIZER_VERSION, words

Progress = Callable[[int, int], None]
Known = Mapping[str, Pair]  # vector key → vectors of windows, vectors of sentences
Originals = Mapping[str, Passage]  # id of a translated passage → the passage it says in another language

CHUNK = 512  # passages embedded between two reports, and lost at most when a build is killed
MOST_SEGMENTS = 8  # each is searched; one more, and the smallest are joined
DELETED_SHARE = 0.2  # a segment with more than this deleted is written anew,
REWRITTEN_UP_TO = 20_000  # if it has no more passages than this: about a second


def build(
    folder: Path,
    passages: Sequence[Passage],
    embedder: Embedder,
    *,
    known: Known | None = None,
    originals: Originals | None = None,
    corpus: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> None:
    """Write an index of `passages` into `folder` and make it the current one; an index already there stays until then.

    `known` holds vectors made earlier, by `vector_key`; they are not computed again, nor are those of a build that was
    killed. An embedder that knows only English gives a passage that has an original the vectors of that. `corpus` is kept in
    the manifest. `progress` is called with the passages done and their number. Raises BadInput when there is nothing to index
    or two passages have one id, KnowledgeError while another writer is at it.
    """
    check(passages)
    with index_folder.only_writer(folder), _writing(folder, embedder, corpus) as draft:
        draft.write(passages, known or {}, originals or {}, progress)


def add(
    folder: Path,
    passages: Sequence[Passage],
    embedder: Embedder,
    *,
    instead_of: Collection[str] = (),
    known: Known | None = None,
    originals: Originals | None = None,
    corpus: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> None:
    """Add passages; those of documents that are already there replace the old ones, as do those of `instead_of`.

    `known`, `originals` and `corpus` are as in `build`; without `corpus` the manifest keeps what it says.
    """
    check(passages)
    index_folder.current_version(folder)  # where there is no index, no folder is made either
    with index_folder.only_writer(folder):  # what is kept was read under the lock, so no other writer's work is lost
        view = load_view(folder, embedder)
        replaced = {passage.document_id for passage in passages} | set(instead_of)
        stored = first_of(StoredVectors(view.segments, only=replaced), known or {})
        with _writing(folder, embedder, corpus or view.manifest.get("corpus"), view, _deleted(view, replaced)) as draft:
            draft.write(passages, stored, originals or {}, progress)


def remove(folder: Path, document_ids: Collection[str], embedder: Embedder) -> int:
    """Remove documents by id and return how many passages went; raises BadInput when one of the ids is not there."""
    index_folder.current_version(folder)
    with index_folder.only_writer(folder):
        view = load_view(folder, embedder)
        unknown = sorted(set(document_ids) - view.named(document_ids))
        if unknown:
            raise BadInput(
                f"The index has no document {', '.join(map(repr, unknown))}",
                "nothing was removed",
                "see `agri index list` for the ids",
            )
        gone = _deleted(view, document_ids)
        count = sum(len(rows) for rows in gone) - sum(len(rows) for rows in view.deleted)
        if count == len(view.passages):
            raise BadInput("There is not one passage to index", "an empty index answers nothing", "keep a document")
        with _writing(folder, embedder, view.manifest.get("corpus"), view, gone):
            pass
    return count


def compact(folder: Path, embedder: Embedder) -> None:
    """Join all segments into one without what is deleted; nothing is embedded again."""
    index_folder.current_version(folder)
    with index_folder.only_writer(folder):
        view = load_view(folder, embedder)
        with _writing(folder, embedder, view.manifest.get("corpus"), view, view.deleted) as draft:
            draft.join([segment.name for segment in view.segments])


def known_vectors(folder: Path, embedder: Embedder) -> Known:
    """Return the vectors of an index by `vector_key`; empty when there is none, it is damaged, or of another embedder."""
    try:
        version = index_folder.current_version(folder)
        manifest = index_folder.read_manifest(version)
        if manifest["embedder"]["weights_sha256"] != embedder.weights_hash:
            return {}
        return StoredVectors(open_segments(version, manifest)[0])
    except (IndexMissing, IndexMismatch):
        return {}


def first_of(*known: Known) -> Known:
    """Look a key up in several places, the first that has it counts."""
    places: Any = known
    return ChainMap({}, *places)


class StoredVectors(Mapping[str, Pair]):
    """The vectors of open segments by `vector_key`, read from disk one by one."""

    def __init__(self, segments: Sequence[Segment], only: Collection[str] | None = None) -> None:
        """Look at all passages, or at those of the documents named in `only`."""
        self._places: dict[bytes, tuple[Segment, int]] = {}
        for segment in segments:
            runs = [(0, len(segment))] if only is None else [(each.start, each.end) for each in segment.documents.named(only)]
            for start, end in runs:
                keys = np.asarray(segment.keys[start:end])
                self._places |= {key.tobytes(): (segment, start + at) for at, key in enumerate(keys)}

    def __getitem__(self, key: str) -> Pair:
        """Return the vectors of a key; raises KeyError."""
        segment, row = self._places[bytes.fromhex(key)]
        return segment.vectors(row)

    def __iter__(self) -> Iterator[str]:
        """Yield the keys."""
        return (key.hex() for key in self._places)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._places)


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """What is embedded of a passage: the heading and the text in windows, and each sentence by itself."""

    heading: str
    text: str
    sentences: tuple[str, ...]

    @property
    def key(self) -> str:
        """Name it: the same key means the same vectors (sha256, its first 16 bytes)."""
        named = "\0".join((self.heading, self.text, *self.sentences))
        return hashlib.sha256(named.encode()).hexdigest()[: 2 * KEY_BYTES]


def embedded(passage: Passage, original: Passage | None = None) -> Embedded:
    """Say what is embedded of a passage; its original, where there is one, sentence for sentence by their place."""
    own = [span.text for span in split(passage.text)]
    if original is None:
        return Embedded(heading=_heading(passage), text=passage.text, sentences=tuple(own))
    theirs = [span.text for span in split(original.text)] or [original.text]
    aligned = tuple(theirs[at * len(theirs) // len(own)] for at in range(len(own)))
    return Embedded(heading=_heading(original), text=original.text, sentences=aligned)


def vector_key(passage: Passage, original: Passage | None = None) -> str:
    """Name what is embedded of a passage."""
    return embedded(passage, original).key


def embed(
    passages: Sequence[Passage],
    embedder: Embedder,
    known: Known,
    progress: Progress | None = None,
    *,
    originals: Originals | None = None,
    resume: Unfinished | None = None,
) -> Iterator[tuple[str, Pair]]:
    """Yield the vector key of every passage and the vectors of its windows and of its sentences, in the order of `split`.

    What is not `known` is computed, CHUNK passages at a time, and kept in `resume`.
    """
    spoken = originals if originals and embedder.english_only else {}
    for start in range(0, len(passages), CHUNK):
        numbers = range(start, min(start + CHUNK, len(passages)))
        chunk = [embedded(passage, spoken.get(passage.id)) for passage in (passages[number] for number in numbers)]
        missing = {each.key: each for each in chunk if each.key not in known}
        made = _computed(missing, embedder)
        if resume is not None and made:
            resume.keep(made)
        yield from ((each.key, made[each.key] if each.key in made else known[each.key]) for each in chunk)
        if progress:
            progress(numbers.stop, len(passages))


def _computed(missing: Mapping[str, Embedded], embedder: Embedder) -> dict[str, Pair]:
    """Compute vectors in one batch."""
    windows = [embedder.windows(each.text, each.heading) for each in missing.values()]
    groups = [*windows, *(list(each.sentences) for each in missing.values())]
    if not groups:
        return {}
    vectors = embedder.pieces([text for group in groups for text in group])
    parts = np.split(vectors, np.cumsum([len(group) for group in groups])[:-1])
    return {key: (parts[row], parts[len(windows) + row]) for row, key in enumerate(missing)}


@contextmanager
def _writing(
    folder: Path, embedder: Embedder, corpus: dict[str, Any] | None, view: View | None = None, deleted: Sequence[Rows] = ()
) -> Iterator[_Draft]:
    """Give a draft of the next version, which holds the segments of `view`; on leaving it becomes the current one."""
    manifest: dict[str, Any] = {}
    with index_folder.new_version(folder, manifest) as path:
        draft = _Draft(folder, path, embedder, view, deleted)
        yield draft
        manifest |= {**draft.finish(), "corpus": corpus}
    unfinished.discard(folder)


class _Draft:
    """A version while it is written."""

    def __init__(self, folder: Path, path: Path, embedder: Embedder, view: View | None, deleted: Sequence[Rows]) -> None:
        self._folder, self._path, self._embedder, self._before = folder, path, embedder, view
        self._facts: dict[str, dict[str, Any]] = {}  # of each segment, in order
        self._gone: dict[str, Rows] = {}
        self._open: dict[str, Segment] = {}  # those of the version before
        for segment, gone in zip(view.segments if view else (), deleted, strict=True):
            if len(gone) < len(segment):
                self._facts[segment.name], self._gone[segment.name], self._open[segment.name] = segment.facts, gone, segment

    def write(self, passages: Sequence[Passage], known: Known, originals: Originals, progress: Progress | None) -> None:
        """Write a new segment."""
        resume = Unfinished(self._folder, self._embedder)
        try:
            pairs = embed(passages, self._embedder, first_of(known, resume), progress, originals=originals, resume=resume)
            rows = ((passage, bytes.fromhex(key), pair) for passage, (key, pair) in zip(passages, pairs, strict=True))
            searchable = (words(f"{_heading(passage)}\n{passage.text}", passage.language) for passage in passages)
            name = f"segment-{new_id()}"
            self._facts[name] = segment_files.write(self._path / name, rows, searchable, self._embedder.dimension)
        except ValueError as error:
            raise BadInput(f"The embedder made {error}", "they can never be found", "use another embedder") from error
        finally:
            resume.close()

    def join(self, names: Collection[str]) -> None:
        """Write segments as one, without what is deleted in them; the others stay in their order before it."""
        parts = []
        for name in [each for each in self._facts if each in names]:
            segment = self._open.pop(name, None) or Segment(self._path / name, self._facts[name])
            kept = np.ones(len(segment), dtype=bool)
            kept[self._gone.pop(name, np.zeros(0, dtype=np.int64))] = False
            parts.append((segment, kept))
            del self._facts[name]
        name = f"segment-{new_id()}"
        self._facts[name] = segment_files.joined(self._path / name, parts, self._embedder.dimension)
        for segment, _ in parts:
            shutil.rmtree(self._path / segment.name, ignore_errors=True)  # written a moment ago

    def tidy(self) -> None:
        """Join small segments where there are many, and write those anew of which much is deleted."""
        for name, facts in list(self._facts.items()):
            size = facts["passages"]
            if size <= REWRITTEN_UP_TO and len(self._gone.get(name, ())) > DELETED_SHARE * size:
                self.join([name])
        if len(self._facts) > MOST_SEGMENTS:
            by_size = sorted(self._facts, key=lambda name: self._facts[name]["passages"])
            self.join(by_size[: MOST_SEGMENTS // 2 + 1])

    def finish(self) -> dict[str, Any]:
        """Link the segments that stay and return what the manifest says."""
        self.tidy()
        files: dict[str, Any] = {}
        for name in self._open:
            assert self._before is not None
            files |= index_folder.take_over(name, self._before.version, self._path, self._before.manifest["files"])
        deleted = {name: gone for name, gone in self._gone.items() if len(gone)}
        for name, gone in deleted.items():
            np.save(self._path / f"deleted-{name}.npy", gone, allow_pickle=False)
        embedder = self._embedder
        return {
            "created": now().isoformat(timespec="seconds"),
            "embedder": {"name": embedder.name, "weights_sha256": embedder.weights_hash, "dimension": embedder.dimension},
            "tokenizer": TOKENIZER_VERSION,
            "passages": sum(each["passages"] for each in self._facts.values()) - sum(map(len, deleted.values())),
            "segments": dict(self._facts),
            "files": files,
        }


def check(passages: Sequence[Passage]) -> None:
    """Refuse nothing, two passages of one id, and an id that does not begin with its document's."""
    if not passages:
        raise BadInput("There is not one passage to index", "an empty index answers nothing", "name files with text")
    for passage in passages:  # then passages of different documents never share an id
        if not passage.id.startswith(f"{passage.document_id}#"):
            raise BadInput(
                f"The passage {passage.id!r} of {passage.document_id!r} does not begin with the id of its document",
                "another document could have a passage of the same id",
                "name passages DOCUMENT#PART",
            )
    if len({passage.id for passage in passages}) != len(passages):
        raise BadInput(
            "Two passages have the same id", "a citation could open the wrong one", "remove the document given twice"
        )


def _deleted(view: View, document_ids: Collection[str]) -> list[Rows]:
    """Return which rows of each segment are deleted once these documents are gone too."""
    result = []
    for segment, gone in zip(view.segments, view.deleted, strict=True):
        ranges = [np.arange(entry.start, entry.end) for entry in segment.documents.named(document_ids)]
        result.append(np.union1d(gone, np.concatenate(ranges)) if ranges else gone)
    return result


def _heading(passage: Passage) -> str:
    return ". ".join(part for part in (passage.title, passage.heading) if part)
