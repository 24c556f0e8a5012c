"""How well the right passage is found: BM25, meaning, RRF, convex fusion and ours, on two public sets of questions.

    python benchmarks/retrieval.py --data DATA [--work FOLDER]

agxqa: 346 questions written while looking at 155 extension paragraphs, among distractors (manuals, handbooks, encyclopedia
articles, a crop table). agask: 100 questions of real growers, graded, over 2,047 passages of grains research reports.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import ir_measures
import numpy as np
from ir_measures import RR, Success, nDCG
from numpy.typing import NDArray
from report import machine, publish, table

from agri_llm.records import Passage
from knowledge_base import builder, shipped
from knowledge_base.embedding import Embedder
from knowledge_base.index import MEANING_WEIGHT, SENTENCE_SHARE, KnowledgeBase

MEASURES = [Success @ 1, Success @ 5, RR @ 10, nDCG @ 10]
HEADER = ["", "R@1", "success@5", "MRR@10", "nDCG@10"]
Scores = NDArray[np.float32]

# Measured with plain parts (default tokenizer and parameters, passages embedded once), for comparison.
PLAIN = {
    "agxqa": [["BM25", 0.899, "", 0.927, ""], ["meaning", 0.624, "", 0.720, ""], ["RRF", 0.815, "", 0.862, ""],
              ["convex 0.5", 0.908, "", 0.934, ""]],
    "agask": [["BM25", 0.250, "", "", 0.223], ["meaning", 0.370, "", "", 0.380], ["RRF", 0.380, "", "", 0.356],
              ["convex 0.5", 0.390, "", "", 0.328]],
}  # fmt: skip


def corpus_of(name: str, data: Path) -> list[Path]:
    """Return the files that make the haystack of a set."""
    files = [data / "retrieval" / name / "passages.jsonl"]
    if name == "agxqa":
        files += sorted(path for path in (data / "corpus").iterdir() if path.name != "soil-series.jsonl.gz")
    return files


def questions_of(name: str, data: Path) -> list[tuple[str, dict[str, int]]]:
    """Return (question, {document id: grade}) pairs."""
    lines = (data / "retrieval" / name / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.strip()]
    return [(row["question"], row.get("relevant") or {row["passage_id"]: 1}) for row in rows]


def open_base(name: str, data: Path, work: Path) -> KnowledgeBase:
    """Build the index of a set, or take the one an earlier run left in `work`."""
    embedder = Embedder()
    if not (work / name / "CURRENT").exists():
        passages, unreadable = shipped.read_passages(corpus_of(name, data))
        for error in unreadable:
            print(error)
        builder.build(work / name, passages, embedder, progress=lambda done, total: print(f"\r{done}/{total}", end=""))
        print()
    return KnowledgeBase(work / name, embedder)


def score(base: KnowledgeBase, questions: list[str]) -> dict[str, Scores]:
    """Score every passage for every question, (questions, passages), by each single part."""
    view = base.view
    vectors = base.embedder.questions(questions)
    similar = vectors @ view.windows.reconstruct_n(0, view.windows.ntotal).T  # (questions, windows)
    starts = np.searchsorted(view.rows, np.arange(len(view.passages)))
    return {
        "BM25": np.stack([view.words.scores(question) for question in questions]),
        "meaning": np.maximum.reduceat(similar, starts, axis=1),
    }


def fusions(parts: dict[str, Scores]) -> dict[str, Scores]:
    """Fuse the two single parts in the two plain ways."""
    words, meaning = parts["BM25"], parts["meaning"]
    rank = [np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1) for scores in (words, meaning)]
    reciprocal = [np.where((ranks < 100), 1 / (61 + ranks), 0) for ranks in rank]
    return {
        "RRF": (reciprocal[0] * (words > 0) + reciprocal[1]).astype(np.float32),
        "convex 0.5": 0.5 * _min_max(words) + 0.5 * _min_max(meaning),
    }


def _min_max(scores: Scores) -> Scores:
    low = np.sort(scores, axis=1)[:, [-min(100, scores.shape[1])]]
    high = scores.max(axis=1, keepdims=True)
    return np.clip((scores - low) / np.maximum(high - low, 1e-9), 0, 1)


def measure(runs: list[list[tuple[Passage, float]]], relevant: list[dict[str, int]]) -> list[float]:
    """Return the four measures of one run; runs[i] holds the passages for question i, best first."""
    judged = [
        ir_measures.Qrel(str(number), document, grade)
        for number, rows in enumerate(relevant)
        for document, grade in rows.items()
    ]
    found = []
    for number, passages in enumerate(runs):
        seen: set[str] = set()
        for passage, _ in passages:
            if passage.document_id not in seen:
                found.append(ir_measures.ScoredDoc(str(number), passage.document_id, 1.0 / (1 + len(seen))))
                seen.add(passage.document_id)
    values = ir_measures.calc_aggregate(MEASURES, judged, found)
    return [float(values[name]) for name in MEASURES]


def top(base: KnowledgeBase, scores: Scores, k: int = 30) -> list[list[tuple[Passage, float]]]:
    """Return the best passages by a score matrix."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return [[(base.view.passages[at], float(row[at])) for at in best] for row, best in zip(scores, order, strict=True)]


def ours(base: KnowledgeBase, questions: list[str], weight: float | None = None) -> list[list[tuple[Passage, float]]]:
    """Return what `KnowledgeBase.search_all` finds."""
    base.meaning_weight = MEANING_WEIGHT if weight is None else weight
    found = base.search_all(questions, 30)
    base.meaning_weight = MEANING_WEIGHT
    return [[(hit.passage, hit.score) for hit in hits] for hits in found]


def main() -> None:
    """Measure both sets and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("build/benchmark"), help="where indexes are kept between runs")
    options = parser.parse_args()
    text = [
        f"`python benchmarks/retrieval.py --data DATA`, {machine()}. One setting for both sets: meaning weight"
        f" {MEANING_WEIGHT}, of which the best sentence {SENTENCE_SHARE}; BM25 as a share of its bound."
        " Passages of one document count as that document.",
    ]
    curve: list[list[object]] = []
    for name in ("agxqa", "agask"):
        base = open_base(name, options.data, options.work)
        asked = questions_of(name, options.data)
        questions, relevant = [text for text, _ in asked], [rows for _, rows in asked]
        parts = score(base, questions)
        rows: list[list[object]] = [
            [row, *measure(top(base, scores), relevant)] for row, scores in {**parts, **fusions(parts)}.items()
        ]
        mine = measure(ours(base, questions), relevant)
        best = [max(float(str(row[column])) for row in rows) for column in range(1, 5)]
        rows.append(["**ours**", *mine])
        rows.append(["ours minus the best row", *(f"{value - rival:+.3f}" for value, rival in zip(mine, best, strict=True))])
        rows += [[f"*{row[0]}, plain parts*", *row[1:]] for row in PLAIN[name]]
        text.append(f"**{name}**: {len(questions)} questions, {len(base.view.passages):,} passages\n\n{table(HEADER, rows)}")
        curve += [[name, weight, *measure(ours(base, questions, weight), relevant)] for weight in (0.3, 0.4, 0.5, 0.6, 0.7)]
    text.append("The meaning weight, everything else the same:\n\n" + table(["set", "weight", *HEADER[1:]], curve))
    publish("retrieval", "Finding the passage", "\n\n".join(text))


if __name__ == "__main__":
    main()
