"""How well the right passage is found: BM25, meaning, RRF, convex fusion, ours and a second stage, on two public sets.

    python benchmarks/retrieval.py --data DATA [--work FOLDER]

agxqa: 346 questions written while looking at 155 extension paragraphs, among distractors (manuals, handbooks, encyclopedia
articles, a crop table). agask: 100 questions of real growers, graded, over 2,047 passages of grains research reports.
Questions that share a right passage are one group: they are in one fold, and drawn together by the bootstrap.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from question_sets import FOLDS, HEADER, MEASURES, Asked, Scores, Values, load
from report import machine, publish, table
from scipy.optimize import minimize

from knowledge_base import reranking
from knowledge_base.index import MEANING_WEIGHT, SENTENCE_SHARE
from knowledge_base.words import words

WEIGHTS = np.linspace(0, 1, 21)  # of the convex fusion
SEEDS = range(4)

# Measured with plain parts (default tokenizer and parameters, passages embedded once), for comparison.
PLAIN = {
    "agxqa": [["BM25", 0.899, "", 0.927, ""], ["meaning", 0.624, "", 0.720, ""], ["RRF", 0.815, "", 0.862, ""],
              ["convex 0.5", 0.908, "", 0.934, ""]],
    "agask": [["BM25", 0.250, "", "", 0.223], ["meaning", 0.370, "", "", 0.380], ["RRF", 0.380, "", "", 0.356],
              ["convex 0.5", 0.390, "", "", 0.328]],
}  # fmt: skip


Fitted = Callable[[Asked], Values]  # the measures of a set by what was chosen on training questions
Fit = Callable[[dict[str, NDArray[np.bool_]]], Fitted]  # from which questions of each set are for training


def single_parts(asked: Asked) -> dict[str, Scores]:
    """Score every passage for every question, (questions, passages), by each single part."""
    view = asked.base.view
    rows = np.arange(len(view.segments[0]))
    by_words, windows, both = [], [], []
    for question, vector in zip(asked.questions, asked.base.embedder.questions(asked.questions), strict=True):
        by_words.append(view.words.at(0, view.words.terms(words(question)), rows))
        near = view.segments[0].nearness(vector, rows)
        windows.append(near.window)
        both.append((1 - SENTENCE_SHARE) * near.window + SENTENCE_SHARE * near.sentence)
    return {"BM25": np.stack(by_words), "meaning": np.stack(windows), "meaning, best sentence too": np.stack(both)}


def rrf(one: Scores, other: Scores) -> Scores:
    """Fuse the best hundred of two rankings by their ranks (Cormack et al., SIGIR 2009, constant 60)."""
    ranks = [np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1) for scores in (one, other)]
    shares = [
        np.where((rank < 100) & (scores > 0), 1 / (61 + rank), 0) for rank, scores in zip(ranks, (one, other), strict=True)
    ]
    return np.asarray(shares[0] + shares[1], dtype=np.float32)


def min_max(scores: Scores) -> Scores:
    """Bring the best hundred scores of each question to 0–1."""
    low = np.sort(scores, axis=1)[:, [-min(100, scores.shape[1])]]
    return np.clip((scores - low) / np.maximum(scores.max(axis=1, keepdims=True) - low, 1e-9), 0, 1)


def convex(sets: list[Asked], parts: dict[str, dict[str, Scores]]) -> Fit:
    """Choose the one weight of the convex fusion that is best for both sets together."""
    curves: dict[str, NDArray[np.float64]] = {}  # (weights, questions, measures)
    for asked in sets:
        one, other = min_max(parts[asked.name]["BM25"]), min_max(parts[asked.name]["meaning"])
        curves[asked.name] = np.stack([asked.best(weight * other + (1 - weight) * one) for weight in WEIGHTS])

    def fit(training: dict[str, NDArray[np.bool_]]) -> Fitted:
        gains = sum(curves[name][:, mask, 2:].mean(axis=(1, 2)) for name, mask in training.items())
        chosen = int(np.argmax(gains))
        return lambda asked: curves[asked.name][chosen]

    return fit


def second_stage(sets: list[Asked]) -> Fit:
    """Fit the shares of the second stage to both sets together."""

    def fit(training: dict[str, NDArray[np.bool_]]) -> Fitted:
        shares = fitted_shares(sets, training)
        return lambda asked: in_order(asked, [each @ shares for each in asked.features])

    return fit


def in_order(asked: Asked, scores: Sequence[NDArray[np.float64]]) -> Values:
    """Return the measures of the hits in the order of new scores."""
    orders = [np.argsort(-each, kind="stable") for each in scores]
    return asked.values(
        [[hits[at].passage.document_id for at in order] for hits, order in zip(asked.hits, orders, strict=True)]
    )


def fitted_shares(sets: list[Asked], training: dict[str, NDArray[np.bool_]]) -> NDArray[np.float64]:
    """Return the shares under which a softmax over the hits of a question makes the right ones likeliest; they sum to 1."""
    rows = []
    for asked in sets:
        mask = training[asked.name]
        for at in np.flatnonzero(mask):
            grades = np.array([asked.relevant[at].get(hit.passage.document_id, 0) for hit in asked.hits[at]], dtype=float)
            if grades.any():
                rows.append((asked.features[at], grades / grades.sum(), 1 / mask.sum()))

    def loss(weights: NDArray[np.float64]) -> float:
        logits = [each @ weights for each, _, _ in rows]
        losses = [
            count * float(np.logaddexp.reduce(row) - wanted @ row) for row, (_, wanted, count) in zip(logits, rows, strict=True)
        ]
        return sum(losses) + 1e-3 * float(weights @ weights)

    weights = np.asarray(minimize(loss, np.ones(rows[0][0].shape[1]), method="L-BFGS-B").x)
    return weights / weights.sum()


def look_again(sets: list[Asked]) -> None:
    """Search each set and compute what the second stage looks at."""
    for asked in sets:
        context = reranking.InContext(asked.base.embedder.tokens)
        asked.hits = asked.base.search_all(asked.questions, reranking.RERANKED)
        for question, hits in zip(asked.questions, asked.hits, strict=True):
            near = context.nearness(question, [hit.passage.text for hit in hits])
            rows = [(hit.words, hit.meaning, each) for hit, each in zip(hits, near, strict=True)]
            asked.features.append(np.array(rows, dtype=np.float64))


def held_out(sets: list[Asked], fit: Fit) -> dict[str, Values]:
    """Measure each question with what was chosen without its group, (questions, measures), the mean over seeds."""
    found = {asked.name: np.zeros((len(SEEDS), len(asked.questions), len(MEASURES))) for asked in sets}
    for seed in SEEDS:
        folds = {asked.name: asked.folds(seed) for asked in sets}
        for fold in range(FOLDS):
            fitted = fit({name: each != fold for name, each in folds.items()})
            for asked in sets:
                mask = folds[asked.name] == fold
                found[asked.name][seed, mask] = fitted(asked)[mask]
    return {name: values.mean(axis=0) for name, values in found.items()}


def section(asked: Asked, rows: dict[str, Values], rivals: Sequence[str]) -> str:
    """Write the table of a set, with paired differences from the best rival of each measure."""
    best = np.stack([rows[name] for name in rivals])[np.stack([rows[name].mean(axis=0) for name in rivals]).argmax(axis=0)]
    best = np.stack([best[column, :, column] for column in range(len(MEASURES))], axis=1)  # (questions, measures)
    lines: list[list[object]] = [[name, *map(float, values.mean(axis=0))] for name, values in rows.items()]
    for name in ("**ours**", "**second stage**, held out"):
        gain = rows[name] - best
        lines.append([f"{name.split(',')[0]} minus the best plain row", *(asked.interval(column) for column in gain.T)])
    lines += [[f"*{row[0]}, plain parts*", *row[1:]] for row in PLAIN[asked.name]]
    about = f"{len(asked.questions)} questions in {asked.groups.max() + 1} groups, {len(asked.base.view.passages):,} passages"
    return f"**{asked.name}**: {about}\n\n{table(HEADER, lines)}"


def measured(sets: list[Asked]) -> tuple[list[str], NDArray[np.float64]]:
    """Return the section of each set and the shares fitted to all questions."""
    parts = {asked.name: single_parts(asked) for asked in sets}
    look_again(sets)
    everything = {asked.name: np.ones(len(asked.questions), dtype=bool) for asked in sets}
    fits = {"convex": convex(sets, parts), "**second stage**": second_stage(sets)}
    fitted = {name: fit(everything) for name, fit in fits.items()}
    held = {name: held_out(sets, fit) for name, fit in fits.items()}
    texts = []
    for asked in sets:
        plain = parts[asked.name]
        rows = {name: asked.best(scores) for name, scores in plain.items()}
        rows["RRF"] = asked.best(rrf(plain["BM25"], plain["meaning"]))
        rows["convex, held out"] = held["convex"][asked.name]
        rivals = [name for name in rows if "sentence" not in name]
        rows["convex, in sample"] = fitted["convex"](asked)
        rows["**ours**"] = in_order(asked, [np.array([hit.score for hit in hits]) for hits in asked.hits])
        rows["**second stage**, held out"] = held["**second stage**"][asked.name]
        rows["second stage, in sample"] = fitted["**second stage**"](asked)
        rows["second stage, shares in use"] = in_order(asked, [each @ reranking.SHARES for each in asked.features])
        texts.append(section(asked, rows, rivals))
    return texts, fitted_shares(sets, everything)


def weight_curve(sets: list[Asked]) -> str:
    """Measure the first stage under other meaning weights."""
    rows: list[list[object]] = []
    for asked in sets:
        for weight in (0.3, 0.4, 0.5, 0.6, 0.7):
            asked.base.meaning_weight = weight
            found = [[hit.passage.document_id for hit in hits] for hits in asked.base.search_all(asked.questions, 30)]
            rows.append([asked.name, weight, *map(float, asked.values(found).mean(axis=0))])
        asked.base.meaning_weight = MEANING_WEIGHT
    return "The meaning weight of the first stage, everything else the same:\n\n" + table(["set", "weight", *HEADER[1:]], rows)


def main() -> None:
    """Measure both sets and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("build/benchmark"), help="where indexes are kept between runs")
    options = parser.parse_args()
    sets = [load(name, options.data, options.work) for name in ("agxqa", "agask")]
    texts, shares = measured(sets)
    about = (
        f"`python benchmarks/retrieval.py --data DATA`, {machine()}. One setting for both sets: meaning weight"
        f" {MEANING_WEIGHT}, of which the best sentence {SENTENCE_SHARE}; BM25 as a share of its bound."
        " Passages of one document count as that document.\n\n"
        "*Held out*: one setting for both sets, chosen on the other folds"
        f" ({FOLDS} folds, {len(SEEDS)} seeds; questions that share a right passage are in one fold); *in sample*: on all."
        " The other settings of ours were chosen on these same questions. In brackets 95 % bootstrap intervals over groups.\n\n"
        f"The second stage (`knowledge_base.reranking.InContext`) orders the first {reranking.RERANKED} passages anew by words,"
        f" meaning and context; shares fitted to all questions {', '.join(f'{share:.2f}' for share in shares)},"
        f" in use {', '.join(f'{share:.2f}' for share in reranking.SHARES)}. `AGRI_RERANKER=context` turns it on; it is off by"
        " itself, for passages that were not seen lately it costs 15 ms of processor time each, ten times the search itself."
    )
    publish("retrieval", "Finding the passage", "\n\n".join([about, *texts, weight_curve(sets)]))


if __name__ == "__main__":
    main()
