"""How long people wait: search, first sentence, whole answer, and a rerun of the page, on the embedded default.

    python benchmarks/latency.py [--rounds 3]

Asks every answerable question of benchmarks/questions.jsonl over the shipped corpus, after a warm-up; the page is rerun by
Streamlit's own test runner with one finished answer on it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from report import machine, publish, table

QUESTIONS = Path(__file__).parent / "questions.jsonl"
PAGE = Path(__file__).parent.parent / "ui" / "app.py"


def percentiles(name: str, milliseconds: list[float]) -> list[object]:
    """Return a table row with the median and the 95th percentile."""
    return [name, len(milliseconds), *(f"{np.percentile(milliseconds, share):.0f} ms" for share in (50, 95))]


def page_reruns(count: int) -> list[float]:
    """Return the milliseconds of reruns of the chat page after one question."""
    from streamlit.testing.v1 import AppTest

    page = AppTest.from_file(str(PAGE), default_timeout=120).run()
    page.chat_input[0].set_value("How do I manage late blight in potato?").run()
    took = []
    for _ in range(count):
        started = time.perf_counter()
        page.run()
        took.append((time.perf_counter() - started) * 1000)
    return took


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with TemporaryDirectory() as home:
        os.environ["AGRI_HOME"] = home
        from agri_llm.records import Answer, Question
        from ui import wiring

        started = time.perf_counter()
        wiring.prepare_index()
        assistant = wiring.assistant()
        rows = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
        texts = [row["question"] for row in rows if row["document_id"]]
        assistant.answer(Question(text=texts[0]))
        first = time.perf_counter() - started
        answers: list[Answer] = [assistant.answer(Question(text=text)) for _ in range(options.rounds) for text in texts]
        advice = [answer.timings_ms for answer in answers if answer.kind == "advice"]
        figures = [
            percentiles("search", [times["search"] for times in advice]),
            percentiles("first checked sentence", [times["first_sentence"] for times in advice]),
            percentiles("whole answer", [times["total"] for times in advice]),
            percentiles("rerun of the page", page_reruns(20)),
        ]
    publish(
        "latency",
        "Waiting time",
        f"`python benchmarks/latency.py`, {machine()}; composer, embedded embedder, shipped corpus. Empty home folder to first"
        f" answer, with the shipped vectors: {first:.1f} s.\n\n" + table(["", "n", "p50", "p95"], figures),
    )


if __name__ == "__main__":
    main()
