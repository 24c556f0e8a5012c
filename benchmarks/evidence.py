"""When to answer and when to say "not sure": fits and measures the evidence rule on our own questions over the shipped sheets.

    python benchmarks/evidence.py [--index FOLDER] [--data DATA --work FOLDER]

benchmarks/questions.jsonl holds farmers' questions with the sheets that answer them, or null and why no sheet does. The rule is
fitted on half of them ("fit"), the figures are of the other half ("test"); questions on one sheet are in one half. With
`--data` the agxqa questions over their own index (see retrieval.py) count as answerable questions of a foreign corpus.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from languages import rows_of
from numpy.typing import NDArray
from question_sets import load
from report import machine, publish, table
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from agri_llm import questions, safety
from agri_llm.assistant import HITS, Assistant
from agri_llm.language.composer import Composer
from agri_llm.records import Question
from knowledge_base import shipped
from knowledge_base.embedding import Embedder
from knowledge_base.index import KnowledgeBase
from knowledge_base.terms import Glossary

NAMES = [name for name in safety.EVIDENCE_WEIGHTS if name != "bias"]
KINDS = ["crop", "product", "number", "topic", "off topic"]  # why no sheet answers a question
Table = list[list[object]]
Values = NDArray[np.float64]
Flags = NDArray[np.bool_]
QUESTIONS = Path(__file__).parent / "questions.jsonl"


def features(base: KnowledgeBase, glossary: Glossary, texts: list[str]) -> Values:
    """Return the evidence features of questions, (questions, features)."""
    rows = []
    for text in texts:
        understood = questions.understand(Question(text=text), glossary)
        hits = base.search(understood.query, HITS, crop=understood.crops or None)
        found = safety.evidence_features(hits, understood.intent)
        rows.append([found[name] for name in NAMES])
    return np.array(rows)


def outcomes(base: KnowledgeBase, glossary: Glossary, rows: list[dict[str, Any]], language: str | None = None) -> Table:
    """Ask the whole assistant and count what it does with each kind of question."""
    assistant = Assistant(search=base.search, model=Composer(), glossary=glossary)
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        kind = row.get("why") or "a sheet answers it"
        answer = assistant.answer(Question(text=row["question"], language=language))
        cited = {citation.passage.twin_of or citation.passage.document_id for citation in answer.citations}
        outcome = answer.kind
        if outcome == "advice" and row["document_id"]:
            outcome = "right sheet" if cited & {row["document_id"], *row.get("also", [])} else "other sheet"
        tally = counts.setdefault(kind, {})
        tally[outcome] = tally.get(outcome, 0) + 1
        if (row["document_id"] is not None) != (outcome in ("right sheet", "clarification")):
            print(f"  {outcome:14} {row['question']}  [{row['document_id']}] → {sorted(cited)[:2]}")
    columns = ["right sheet", "other sheet", "advice", "clarification", "refusal"]
    return [[kind, sum(tally.values()), *(tally.get(column, 0) for column in columns)] for kind, tally in counts.items()]


def fit(values: Values, answerable: Flags, foreign: Values) -> tuple[dict[str, float], LogisticRegression]:
    """Fit the rule; the questions of a foreign corpus, all answerable, together weigh a third of our own."""
    weights = np.concatenate([np.ones(len(values)), np.full(len(foreign), len(values) / 3 / max(len(foreign), 1))])
    flags = np.concatenate([answerable, np.ones(len(foreign), dtype=bool)])
    model = LogisticRegression(C=10.0).fit(np.vstack([values, foreign]), flags, sample_weight=weights)
    fitted = {name: round(float(weight), 1) for name, weight in zip(NAMES, model.coef_[0], strict=True)}
    return {**fitted, "bias": round(float(model.intercept_[0]), 1)}, model


def risk_and_coverage(chance: Values, rows: list[dict[str, Any]], foreign: Values) -> str:
    """Return a table: at each floor, how many get an answer and how many of the answered should not have."""
    answerable = np.array([row["document_id"] is not None for row in rows])
    body: Table = []
    for floor in (0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.8, 0.9):
        taken = chance >= floor
        kinds = [float(taken[[row.get("why") == kind for row in rows]].mean()) for kind in KINDS]
        outside = float((foreign >= floor).mean()) if len(foreign) else "not measured"
        wrong = float((taken & ~answerable).sum() / max(taken.sum(), 1))
        body.append([floor, float(taken[answerable].mean()), wrong, *kinds, outside])
    return table(
        ["floor", "answered of the answerable", "risk: not answerable, of the answered", *KINDS, "agxqa answered"], body
    )


def calibration(chance: Values, answerable: Flags) -> str:
    """Return a table: of the questions with about this probability, how many are answerable."""
    edges = [0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0]
    inside = [(low, high, (chance >= low) & (chance < high + (high == 1))) for low, high in pairwise(edges)]
    body: Table = [
        [f"{low:.1f} to {high:.1f}", int(mask.sum()), float(chance[mask].mean()), float(answerable[mask].mean())]
        for low, high, mask in inside
        if mask.any()
    ]
    return table(["probability", "questions", "mean probability", "answerable"], body)


def main() -> None:
    """Fit, cross-validate, ask, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, help="an index of the shipped sheets; built in a temporary folder when absent")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/benchmark"))
    options = parser.parse_args()
    embedder, glossary = Embedder(), Glossary.load()
    rows = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    halves = {half: [row for row in rows if row["split"] == half] for half in ("fit", "test")}
    flags = {half: np.array([row["document_id"] is not None for row in held]) for half, held in halves.items()}
    with TemporaryDirectory() as temporary:
        folder = options.index or Path(temporary)
        shipped.ensure(folder, embedder)
        base = KnowledgeBase(folder, embedder)
        values = {half: features(base, glossary, [row["question"] for row in held]) for half, held in halves.items()}
        foreign = np.zeros((0, len(NAMES)))
        if options.data:
            agxqa = load("agxqa", options.data, options.work)
            foreign = features(agxqa.base, glossary, agxqa.questions)
        fitted, model = fit(values["fit"], flags["fit"], foreign[::2])
        chance = model.predict_proba(values["test"])[:, 1]
        outside = model.predict_proba(foreign[1::2])[:, 1] if len(foreign) else np.zeros(0)
        header = ["questions", "n", "right sheet", "other sheet", "advice", "clarification", "refusal"]
        counts = {half: table(header, outcomes(base, glossary, held)) for half, held in halves.items()}
        chinese = [{**row, "why": ""} for row in rows_of("zh")]
        counts["zh"] = table(header, outcomes(base, glossary, chinese))
    area = roc_auc_score(flags["test"], chance)
    there = int(sum(map(sum, flags.values())))
    text = [
        f"`python benchmarks/evidence.py --data DATA`, {machine()}; {there} questions that a shipped sheet answers and"
        f" {len(rows) - there} that none answers, written by us: a crop without sheet, the dose of a product, a number no sheet"
        " gives, another topic of farming, off topic. Features: best nearness in meaning, best share of the question's words,"
        " nearness of the best sentence (with a number in it, where one is asked for), whether an amount is asked. Fitted on"
        f" one half: {fitted}; in use: {safety.EVIDENCE_WEIGHTS}. On the other half the area under the ROC curve is {area:.3f};"
        " risk and coverage there:",
        risk_and_coverage(chance, halves["test"], outside),
        "Calibration on that half:",
        calibration(chance, flags["test"]),
        f"The whole assistant, all rules, floor {safety.EVIDENCE_FLOOR}, on the half that nothing was fitted on:",
        counts["test"],
        "On the half that the rule was fitted on:",
        counts["fit"],
        "On the hundred Chinese questions, each of which a sheet answers:",
        counts["zh"],
    ]
    publish("evidence", "Answer or refuse", "\n\n".join(text))


if __name__ == "__main__":
    main()
