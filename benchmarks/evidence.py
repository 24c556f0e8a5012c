"""When to answer and when to say "not sure": fits and measures the evidence rule on our own questions over the shipped sheets.

    python benchmarks/evidence.py [--index FOLDER] [--data DATA --work FOLDER]

benchmarks/questions.jsonl holds farmers' questions with the sheet that answers them, or null where no sheet does. With `--data`
the agxqa questions over their own index (see retrieval.py) count as answerable questions of a foreign corpus.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from report import machine, publish, table
from retrieval import open_base, questions_of
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from agri_llm import questions, safety
from agri_llm.assistant import HITS, Assistant
from agri_llm.language.composer import Composer
from agri_llm.records import Question
from knowledge_base import shipped
from knowledge_base.embedding import Embedder
from knowledge_base.index import KnowledgeBase
from knowledge_base.terms import Glossary

NAMES = [name for name in safety.EVIDENCE_WEIGHTS if name != "bias"]
Values = NDArray[np.float64]
Flags = NDArray[np.bool_]
QUESTIONS = Path(__file__).parent / "questions.jsonl"


def features(base: KnowledgeBase, glossary: Glossary, texts: list[str]) -> Values:
    """Return the evidence features of questions, (questions, features)."""
    rows = []
    for text in texts:
        understood = questions.understand(Question(text=text), glossary)
        hits = base.search(understood.query, HITS, crop=understood.crops or None)
        found = safety.evidence_features(hits)
        rows.append([found[name] for name in NAMES])
    return np.array(rows)


def outcomes(base: KnowledgeBase, glossary: Glossary, rows: list[dict[str, str]]) -> list[list[object]]:
    """Ask the whole assistant and count what it does with each kind of question."""
    assistant = Assistant(search=base.search, model=Composer(), glossary=glossary)
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        kind = "answerable" if row["document_id"] else "not answerable"
        answer = assistant.answer(Question(text=row["question"]))
        cited = {citation.passage.document_id for citation in answer.citations}
        outcome = answer.kind
        if outcome == "advice" and row["document_id"]:
            outcome = "right sheet" if row["document_id"] in cited else "other sheet"
        tally = counts.setdefault(kind, {})
        tally[outcome] = tally.get(outcome, 0) + 1
        if (kind == "answerable") != (outcome in ("right sheet", "other sheet", "clarification")) or outcome == "other sheet":
            print(f"  {outcome:14} {row['question']}  [{row['document_id']}] → {sorted(cited)[:2]}")
    columns = ["right sheet", "other sheet", "advice", "clarification", "refusal"]
    return [[kind, sum(tally.values()), *(tally.get(column, 0) for column in columns)] for kind, tally in counts.items()]


def fit(values: Values, answerable: Flags, own: int) -> tuple[dict[str, float], Values]:
    """Fit the rule; returns its weights and, for every question, the probability from folds that did not hold it.

    The questions after the first `own` are of a foreign corpus; together they weigh a third of our own.
    """
    weights = np.ones(len(values))
    weights[own:] = own / 3 / max(len(values) - own, 1)
    model = LogisticRegression(C=10.0)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    held_out = cross_val_predict(model, values, answerable, cv=folds, method="predict_proba", params={"sample_weight": weights})
    model.fit(values, answerable, sample_weight=weights)
    fitted = {name: round(float(weight), 1) for name, weight in zip(NAMES, model.coef_[0], strict=True)}
    return {**fitted, "bias": round(float(model.intercept_[0]), 1)}, held_out[:, 1]


def risk_and_coverage(held_out: Values, answerable: Flags, own: int) -> str:
    """Return a table: at each floor, how many get an answer and how many of the answered should not have."""
    rows: list[list[object]] = []
    for floor in (0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.8):
        taken = held_out[:own] >= floor
        wrong = float((taken & ~answerable[:own]).sum() / max(taken.sum(), 1))
        foreign = float((held_out[own:] >= floor).mean()) if len(held_out) > own else "not measured"
        rows.append([floor, float(taken[answerable[:own]].mean()), wrong, foreign])
    return table(["floor", "answerable answered", "of the answered, not answerable", "agxqa answered"], rows)


def main() -> None:
    """Fit, cross-validate, ask, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, help="an index of the shipped sheets; built in a temporary folder when absent")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/benchmark"))
    options = parser.parse_args()
    embedder, glossary = Embedder(), Glossary.load()
    rows = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    with TemporaryDirectory() as temporary:
        folder = options.index or Path(temporary)
        shipped.ensure(folder, embedder)
        base = KnowledgeBase(folder, embedder)
        values = features(base, glossary, [row["question"] for row in rows])
        answerable = np.array([row["document_id"] is not None for row in rows])
        if options.data:
            foreign_base = open_base("agxqa", options.data, options.work)
            foreign = features(foreign_base, glossary, [text for text, _ in questions_of("agxqa", options.data)])
            values = np.vstack([values, foreign])
            answerable = np.concatenate([answerable, np.ones(len(foreign), dtype=bool)])
        fitted, held_out = fit(values, answerable, len(rows))
        area = roc_auc_score(answerable[: len(rows)], held_out[: len(rows)])
        counts = table(
            ["questions", "n", "right sheet", "other sheet", "advice", "clarification", "refusal"],
            outcomes(base, glossary, rows),
        )
    there = int(answerable[: len(rows)].sum())
    text = [
        f"`python benchmarks/evidence.py --data DATA`, {machine()}; {there} questions that a shipped sheet answers,"
        f" {len(rows) - there} that none answers, written by us. Features: best nearness in meaning, best share of the"
        f" question's words. Area under the ROC curve, 5-fold held out: {area:.3f}. Fitted: {fitted}; in use:"
        f" {safety.EVIDENCE_WEIGHTS}.",
        risk_and_coverage(held_out, answerable, len(rows)),
        f"The whole assistant (all rules, floor {safety.EVIDENCE_FLOOR}):",
        counts,
        "Some of “other sheet” are right too: two sheets tell how dry maize must be before storing.",
    ]
    publish("evidence", "Answer or refuse", "\n\n".join(text))


if __name__ == "__main__":
    main()
