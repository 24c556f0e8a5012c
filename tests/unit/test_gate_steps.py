"""Answers to held-out questions are all there, whenever the program that writes them was killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from training import gate_steps
from training.gate_steps import Held

HELD = Held(
    prompts={name: ({"role": "user", "content": name},) for name in ("one", "two", "three")},
    groups={name: name for name in ("one", "two", "three")},
    fitting=(),
    judged=(),
)


@pytest.mark.parametrize(
    "left",
    ['{"prompt": "one", "answ', '{"prompt": "one", "answer": "ONE"}\n{"prompt": "tw', '{"prompt": "one", "answer": "ONE"}'],
    ids=["the first line", "a later line", "no line, but its end"],
)
def test_an_answer_that_was_cut_when_the_program_was_killed_is_asked_again_and_no_other_is_lost(
    tmp_path: Path, left: str
) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text(left, encoding="utf-8")
    gate_steps.answer(HELD, lambda messages: messages[0]["content"].upper(), file, lambda _: None)
    assert gate_steps.read_answers(file) == {"one": "ONE", "two": "TWO", "three": "THREE"}
