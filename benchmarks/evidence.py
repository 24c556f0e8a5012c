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
QUESTIONS = Path(__file__).parent / "questions.jsonl"


def features(base: KnowledgeBase, glossary: Glossary, texts: list[str]) -> np.ndarray:
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
        weights = np.ones(len(rows))
        if options.data:
            foreign = features(
                open_base("agxqa", options.data, options.work),
                glossary,
                [text for text, _ in questions_of("agxqa", options.data)],
            )
            values = np.vstack([values, foreign])
            answerable = np.concatenate([answerable, np.ones(len(foreign), dtype=bool)])
            weights = np.concatenate([weights, np.full(len(foreign), len(rows) / 3 / len(foreign))])
        model = LogisticRegression(C=10.0)
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        held_out = cross_val_predict(
            model, values, answerable, cv=folds, method="predict_proba", params={"sample_weight": weights}
        )[:, 1]
        model.fit(values, answerable, sample_weight=weights)
        own = slice(0, len(rows))
        fitted = {name: round(float(weight), 2) for name, weight in zip(NAMES, model.coef_[0], strict=True)}
        fitted["bias"] = round(float(model.intercept_[0]), 2)
        curve: list[list[object]] = []
        for floor in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
            taken = held_out[own] >= floor
            wrong = float((taken & ~answerable[own]).sum() / max(taken.sum(), 1))
            foreign_share = float((held_out[len(rows) :] >= floor).mean()) if options.data else float("nan")
            curve.append([floor, float(taken[answerable[own]].mean()), wrong, foreign_share])
        text = [
            f"`python benchmarks/evidence.py --data DATA`, {machine()}; {int(answerable[own].sum())} questions that a shipped sheet"
            f" answers, {int((~answerable[own]).sum())} that none answers, written by us. Features: best nearness in meaning, best"
            " share of the question's words. Area under the ROC curve, 5-fold held out:"
            f" {roc_auc_score(answerable[own], held_out[own]):.3f}. Fitted weights: {fitted}; in use: {safety.EVIDENCE_WEIGHTS}.",
            table(["floor", "answerable answered", "of the answered, not answerable", "agxqa answered"], curve),
            f"The whole assistant (all rules, floor {safety.EVIDENCE_FLOOR}):",
            table(
                ["questions", "n", "right sheet", "other sheet", "advice", "clarification", "refusal"],
                outcomes(base, glossary, rows),
            ),
        ]
        publish("evidence", "Answer or refuse", "\n\n".join(text))


if __name__ == "__main__":
    main()
