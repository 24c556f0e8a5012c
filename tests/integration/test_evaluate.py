"""`agri evaluate` from the command to the report, with real parts: index, composer, tiny model, adapter, server."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from peft import LoraConfig, get_peft_model
from test_endpoint_writer import ModelServer, finish
from test_local_writer import save_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from agri_llm.errors import ModelUnavailable
from agri_llm.language.local import LocalModel
from ui import cli, wiring

OKRA = """---
id: okra-yellow-vein
title: Okra yellow vein
crops: [okra]
---
# Okra yellow vein

## What you see

Veins of okra leaves turn yellow. Fruits of the sick okra stay small and pale.

## What to do now

Pull out okra plants with yellow veins and bury them 30 cm deep, away from the field.
"""
FACT = "Pull out okra plants with yellow veins and bury them 30 cm deep, away from the field."
GROUNDED = [
    {
        "id": f"okra-{at}",
        "kind": "grounded",
        "language": "en",
        "question": question,
        "sheets": ["okra-yellow-vein"],
        "facts": [FACT],
        "spans": ["30 cm deep"],
    }
    for at, question in enumerate(
        [
            "where do i bury okra plants with yellow veins",
            "okra plants with yellow veins, where do i bury them",
            "who is the king of France?",
        ]
    )
]
QUIZ = "question,A,B,C,D,answer\nWhat is red?,a rose,the sky,snow,grass,A\nWhat flies?,a stone,a bird,a root,a seed,B\n"
LORA = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear", init_lora_weights=False)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


Agri = Callable[..., Ended]


@pytest.fixture
def agri(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Agri:
    """Run `agri` in a home of its own, on an index of one document."""
    for name in [name for name in os.environ if name.startswith("AGRI_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGRI_HOME", str(tmp_path / "home"))

    def run(*arguments: object) -> Ended:
        for part in (wiring.settings, wiring.knowledge_base, wiring.language_model, wiring.assistant):
            part.cache_clear()
        monkeypatch.setattr(sys, "argv", ["agri", *map(str, arguments)])
        capsys.readouterr()
        with mock.patch.dict(os.environ), pytest.raises(SystemExit) as end:
            cli.main()
        told = capsys.readouterr()
        return Ended(int(end.value.code or 0), told.out, told.err)

    (tmp_path / "okra.md").write_text(OKRA, encoding="utf-8")
    (tmp_path / "okra.jsonl").write_text("".join(json.dumps(row) + "\n" for row in GROUNDED), encoding="utf-8")
    (tmp_path / "quiz.csv").write_text(QUIZ, encoding="utf-8")
    assert run("index", "build", "--index", "index", "okra.md").status == 0
    return run


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny chat model."""
    return save_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that changes what the tiny model says."""
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("adapter")
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), LORA).save_pretrained(folder)
    return folder


def figure(shown: dict[str, Any], measure: str) -> float:
    (found,) = [row for row in shown["figures"] if row["measure"] == measure and row["language"] == "all" and not row["rule"]]
    return float(found["value"])


def test_the_composer_is_evaluated_on_a_file_of_ones_own_and_a_second_time_nothing_is_asked(agri: Agri, tmp_path: Path) -> None:
    ended = agri("evaluate", "--index", "index", "--suite", "okra.jsonl", "--out", "report", "--json")
    assert ended.status == 0, ended.err
    shown = json.loads(ended.out)
    assert shown["contract"]["model"] == "composer"
    assert figure(shown, "answered") == pytest.approx(2 / 3)
    assert figure(shown, "span match") == pytest.approx(2 / 3)
    assert figure(shown, "citation precision") == 1.0
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "report.md", "report.html", "report.json", "outcomes.jsonl",
    }  # fmt: skip
    with mock.patch("agri_llm.assistant.Assistant.answer", side_effect=AssertionError("asked again")):
        assert json.loads(agri("evaluate", "--index", "index", "--suite", "okra.jsonl", "--json").out) == shown


def test_without_checks_the_writer_is_evaluated_alone_and_kept_apart(agri: Agri) -> None:
    checked = json.loads(agri("evaluate", "--index", "index", "--suite", "okra.jsonl", "--json").out)
    alone = json.loads(agri("evaluate", "--index", "index", "--suite", "okra.jsonl", "--unchecked", "--json").out)
    assert (checked["contract"]["way"], alone["contract"]["way"]) == ("checked", "unchecked")
    assert figure(alone, "valid citation form") == 1.0


def test_the_report_for_people_compares_with_an_earlier_one(agri: Agri) -> None:
    agri("evaluate", "--index", "index", "--suite", "okra.jsonl", "--out", "before")
    ended = agri("evaluate", "--index", "index", "--suite", "okra.jsonl", "--compare", "before")
    assert ended.status == 0, ended.err
    assert "| okra | span match | +0.000" in ended.out
    assert "better |" not in ended.out.replace("verdict", "")


def test_multiple_choice_is_not_possible_without_likelihoods(agri: Agri) -> None:
    ended = agri("evaluate", "--index", "index", "--suite", "quiz.csv")
    assert ended.status == 0, ended.err
    assert "Not possible: the writer gives no likelihoods." in ended.out


def test_an_adapter_is_compared_with_its_base_on_multiple_choice(
    agri: Agri, base: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGRI_WRITER", "local")
    monkeypatch.setenv("AGRI_MODEL", str(base))
    ended = agri("evaluate", "--index", "index", "--suite", "quiz.csv", "--adapter", adapter, "--compare", "base", "--json")
    assert ended.status == 0, ended.err
    shown = json.loads(ended.out)
    assert shown["contract"]["adapter"] == adapter.name
    assert shown["compared_with"]["adapter"] == ""
    assert 0 <= figure(shown, "accuracy, per byte") <= 1
    assert {row["measure"] for row in shown["differences"]} == {"accuracy, per byte", "accuracy, whole"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--suite", "nothing"], "there is no suite 'nothing'"),
        (["--suite", "okra.jsonl", "--compare", "nowhere"], "nowhere holds no finished report"),
        (["--suite", "okra.jsonl", "--adapter", "nowhere"], "AGRI_WRITER is composer"),
    ],
)
def test_what_cannot_be_evaluated_is_one_sentence(agri: Agri, arguments: list[str], said: str) -> None:
    ended = agri("evaluate", "--index", "index", *arguments)
    assert ended.status == 1
    assert ended.out == ""
    (line,) = [line for line in ended.err.splitlines() if not line.startswith("Settings: ")]
    assert said in line


def test_the_likelihood_of_a_text_is_the_product_of_its_tokens(base: Path, adapter: Path) -> None:
    chat = ({"role": "user", "content": "What is red?"},)
    model = LocalModel(str(base), max_new_tokens=8, temperature=0.0)
    tokenizer, network = AutoTokenizer.from_pretrained(base), AutoModelForCausalLM.from_pretrained(base).eval()
    prompt = tokenizer.apply_chat_template(list(chat), add_generation_prompt=True)["input_ids"]
    said = tokenizer("a rose", add_special_tokens=False)["input_ids"]
    by_hand = 0.0
    for at, token in enumerate(said):
        with torch.inference_mode():
            last = network(input_ids=torch.tensor([prompt + said[:at]])).logits[0, -1]
        by_hand += float(torch.log_softmax(last.float(), dim=-1)[token])
    assert model.log_likelihood(chat, "a rose") == pytest.approx(by_hand, abs=1e-3)
    adapted = LocalModel(str(base), str(adapter), max_new_tokens=8, temperature=0.0)
    assert adapted.log_likelihood(chat, "a rose") != pytest.approx(by_hand, abs=1e-3)
    with pytest.raises(ModelUnavailable, match="reads at most 512"):
        model.log_likelihood(chat, "a rose " * 600)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """A server whose model gives one verdict after another."""
    running = ModelServer()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.stopping.set()
    running.shutdown()
    running.server_close()
    thread.join()


def test_a_judge_on_a_server_says_how_far_it_agrees(agri: Agri, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = {"choices": [{"delta": {"content": '{"correct": true}'}, "finish_reason": "stop"}]}
    server.script = [finish(verdict)] * 3
    monkeypatch.setenv("AGRI_ENDPOINT_URL", server.url)
    ended = agri("evaluate", "--index", "index", "--suite", "okra.jsonl", "--judge", "--json")
    assert ended.status == 0, ended.err
    judged = json.loads(ended.out)["judge"]
    assert (judged["model"], judged["cases"], judged["agreement"], judged["kappa"]) == ("qwen", 2, 1.0, None)
    assert any("Reference:" in json.dumps(body) for _, _, body in server.requests)
