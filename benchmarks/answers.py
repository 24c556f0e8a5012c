"""How often a short answer holds what was asked for: the composer on the 346 agxqa questions among distractors.

    python benchmarks/answers.py --data DATA [--work FOLDER] [--show 30]

An answer is right when it contains one of the gold spans, both without case, punctuation and articles (as in SQuAD). The rows
above ours take the sentences of the best passage that are nearest to the question by embedding, in the order of the passage.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import string
from collections import Counter
from pathlib import Path

import numpy as np
from question_sets import load
from report import machine, publish, table

from agri_llm.assistant import Assistant
from agri_llm.language.composer import Composer
from agri_llm.records import Answer, Hit, Question
from agri_llm.sentences import split
from knowledge_base.terms import Glossary

_MARK = re.compile(r"\[\d+\]")


def normal(text: str) -> str:
    """Lower case, no punctuation, no articles, single spaces."""
    text = "".join(" " if sign in string.punctuation else sign for sign in text.lower())
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def holds(text: str, gold: list[str]) -> bool:
    """Whether a text contains one of the gold spans."""
    return any(normal(span) in normal(text) for span in gold)


def nearest(hit: Hit, count: int) -> str:
    """Return the sentences of a passage nearest to the question by embedding, in order."""
    texts = [span.text for span in split(hit.passage.text)]
    best = sorted(np.argsort([-cosine for cosine in hit.sentences])[:count])
    return " ".join(texts[at] for at in best)


def shown(answer: Answer) -> str:
    """The text of an answer as people read it, without citation marks."""
    return _MARK.sub("", answer.text)


def main() -> None:
    """Ask every question and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("build/benchmark"))
    parser.add_argument("--show", type=int, default=0, help="print so many answers, drawn at random")
    options = parser.parse_args()
    lines = (options.data / "retrieval/agxqa/questions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    gold = [row["answers"] for row in rows]
    base = load("agxqa", options.data, options.work).base
    assistant = Assistant(search=base.search, model=Composer(), glossary=Glossary.load())
    answers = [assistant.answer(Question(text=row["question"])) for row in rows]
    tops = [hits[0] for hits in base.search_all([row["question"] for row in rows], 1)]
    texts = {f"nearest {count} of the best passage": [nearest(top, count) for top in tops] for count in (1, 2, 3, 4)}
    texts["the whole best passage"] = [top.passage.text for top in tops]
    texts["**ours**: the whole assistant, refusals count as wrong"] = [shown(answer) for answer in answers]
    figures: list[list[object]] = [
        [
            name,
            float(np.mean([holds(text, spans) for text, spans in zip(group, gold, strict=True)])),
            round(float(np.mean([len(text.split()) for text in group])), 1),
        ]
        for name, group in texts.items()
    ]
    kinds = Counter(answer.kind for answer in answers)
    publish(
        "answers",
        "Answers of the composer",
        f"`python benchmarks/answers.py --data DATA`, {machine()}; {len(rows)} agxqa questions over {len(base.view.passages):,}"
        f" passages. Kinds of our answers: {', '.join(f'{count} {kind}' for kind, count in kinds.most_common())}.\n\n"
        + table(["", "contains the gold span", "mean words"], figures),
    )
    for at in random.Random(7).sample(range(len(rows)), options.show):
        print(f"\n? {rows[at]['question']}\n= {gold[at]}\n{answers[at].kind}: {answers[at].text}")


if __name__ == "__main__":
    main()
