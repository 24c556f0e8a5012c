"""Public sets of questions with their right passages: read, indexed and judged the same way by all benchmarks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import ir_measures
import numpy as np
from ir_measures import RR, Success, nDCG
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from agri_llm.records import Hit
from knowledge_base import builder, reading
from knowledge_base.embedding import Embedder
from knowledge_base.index import KnowledgeBase

MEASURES = [Success @ 1, Success @ 5, RR @ 10, nDCG @ 10]
HEADER = ["", "R@1", "success@5", "MRR@10", "nDCG@10"]
FOLDS, DRAWS = 5, 4000
Values = NDArray[np.float64]  # (questions, measures)
Scores = NDArray[np.float32]


@dataclass
class Asked:
    """A set of questions with its index; what was found is a list of document ids for each question, best first."""

    name: str
    base: KnowledgeBase
    questions: list[str]
    relevant: list[dict[str, int]]
    hits: list[list[Hit]] = field(default_factory=list)  # of the first stage, for each question
    features: list[NDArray[np.float64]] = field(default_factory=list)  # of those hits, (hits, words meaning context)

    def __post_init__(self) -> None:
        """Number the groups of questions that share a right passage."""
        documents = {key: at for at, key in enumerate({key for rows in self.relevant for key in rows})}
        pairs = [(at, len(self.questions) + documents[key]) for at, rows in enumerate(self.relevant) for key in rows]
        size = len(self.questions) + len(documents)
        graph = coo_array((np.ones(len(pairs)), tuple(zip(*pairs, strict=True))), shape=(size, size))
        self.groups = connected_components(graph, directed=False)[1][: len(self.questions)]

    def values(self, found: Sequence[Sequence[str]]) -> Values:
        """Return the measures of each question; passages of one document count as that document."""
        judged = [ir_measures.Qrel(str(at), key, grade) for at, rows in enumerate(self.relevant) for key, grade in rows.items()]
        run = [
            ir_measures.ScoredDoc(str(at), key, 1 / (1 + rank))
            for at, keys in enumerate(found)
            for rank, key in enumerate(dict.fromkeys(keys))
        ]
        result = np.zeros((len(self.questions), len(MEASURES)))
        for each in ir_measures.iter_calc(MEASURES, judged, run):
            result[int(each.query_id), MEASURES.index(each.measure)] = each.value
        return result

    def best(self, scores: Scores) -> Values:
        """Return the measures of the best passages by a score matrix."""
        order = np.argsort(-scores, axis=1, kind="stable")[:, :30]
        documents = self.documents()
        return self.values([[documents[at] for at in rows] for rows in order])

    def documents(self) -> list[str]:
        """The document of each passage."""
        (segment,) = self.base.view.segments
        return [entry.id for entry in segment.documents for _ in range(entry.start, entry.end)]

    def folds(self, seed: int) -> NDArray[np.int64]:
        """Return the fold of each question; a group is in one fold."""
        places = np.random.default_rng(seed).permutation(self.groups.max() + 1) % FOLDS
        return np.asarray(places[self.groups])

    def interval(self, differences: NDArray[np.float64]) -> str:
        """Return the mean of paired differences with its 95 % bootstrap interval over groups."""
        sums = np.bincount(self.groups, differences)
        sizes = np.bincount(self.groups)
        drawn = np.random.default_rng(0).integers(len(sums), size=(DRAWS, len(sums)))
        low, high = np.quantile(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), (0.025, 0.975))
        return f"{differences.mean():+.3f} ({low:+.3f} to {high:+.3f})"


def files_of(name: str, data: Path) -> list[Path]:
    """Return the files with the passages of a set; those of agxqa lie among all documents but the soils."""
    files = [data / "retrieval" / name / "passages.jsonl"]
    if name == "agxqa":
        files += sorted(path for path in (data / "corpus").iterdir() if path.name != "soil-series.jsonl.gz")
    return files


def questions_of(name: str, data: Path) -> tuple[list[str], list[dict[str, int]]]:
    """Return the questions of a set, and of each the right documents with their grades."""
    lines = (data / "retrieval" / name / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.strip()]
    return [row["question"] for row in rows], [row.get("relevant") or {row["passage_id"]: 1} for row in rows]


def load(name: str, data: Path, work: Path) -> Asked:
    """Read the questions of a set and build its index, or take the one an earlier run left in `work`."""
    embedder = Embedder()
    if not (work / name / "CURRENT").exists():
        passages, unreadable = reading.read_passages(files_of(name, data))
        for error in unreadable:
            print(error)
        builder.build(work / name, passages, embedder, progress=lambda done, total: print(f"\r{done}/{total}", end=""))
        print()
    return Asked(name, KnowledgeBase(work / name, embedder), *questions_of(name, data))
