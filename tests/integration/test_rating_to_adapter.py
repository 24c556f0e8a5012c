"""From what people do on the pages to the adapter that answers, on both databases, with real four-bit parts."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_chat
import yaml

from agri_llm.judgements import Comparison
from agri_llm.language.brief import Brief
from agri_llm.language.local import LocalModel
from agri_llm.language.switching import SwitchingModel
from agri_llm.prompts import PROMPT_HASH
from agri_llm.records import Answer, Citation, Feedback, Passage, Question, new_id
from agri_llm.store import Store
from knowledge_base import builder
from knowledge_base.embedding import Embedder
from training import as_taught

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.timeout(600)]
RUST = "Grow a resistant wheat variety."
SURE = "This always works and is completely safe."
CROPS = "wheat barley rye oats spelt triticale einkorn emmer durum teff".split()
WAYS = "stop treat avoid fight prevent cure limit reduce manage end hinder slow detect see".split()
PASSAGE = Passage(id="rust#1", document_id="rust", title="Rust", text=RUST)
PASSWORD = "a long enough password"


def answered(number: int, text: str) -> Answer:
    asked = f"{WAYS[number // 10 % len(WAYS)]} rust {CROPS[number % 10]}?"
    cited = (Citation(number=1, passage=PASSAGE, quote=RUST),) if "[1]" in text else ()
    answer = Answer(
        question=Question(text=asked, language="en"),
        kind="advice",
        text=text,
        citations=cited,
        passages=(PASSAGE,),
        model="tiny",
    )
    return replace(answer, messages=as_taught.request_of(answer), prompt_hash=PROMPT_HASH)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [message["content"] for at in range(140) for message in answered(at, f"{RUST}[1]").messages]
    return tiny_chat.save_model(tmp_path_factory.mktemp("base"), texts=[*texts, RUST, SURE], vocabulary=1200)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with an index and settings of a retraining that takes seconds; one case is a guard."""
    builder.build(tmp_path / "index", [PASSAGE], Embedder(""))
    (tmp_path / "guard.jsonl").write_text(
        '{"id": "g", "kind": "refusal", "language": "en", "question": "What does a tractor cost?", "expected": "refuse"}\n'
        '{"id": "h", "kind": "refusal", "language": "en", "question": "What does a plough cost?", "expected": "refuse"}\n',
        encoding="utf-8",
    )
    training = {
        "method": "qlora", "rank": 16, "alpha": 32, "learning_rate": 0.02, "max_steps": 40, "save_steps": 20, "eval_steps": 20,
        "max_length": 500, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1, "gradient_checkpointing": False,
        "optim": "adamw_torch", "loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 1.0], "longest_wins": 1.0,
    }  # fmt: skip
    (tmp_path / "align.yaml").write_text(yaml.safe_dump(training), encoding="utf-8")
    settings = {
        "config": "align.yaml", "suites": [str(tmp_path / "guard.jsonl")], "answer_tokens": 24, "prompts": 40,
        "longer_wins": 0.95, "repeated": 1.0,
    }  # fmt: skip
    (tmp_path / "retrain.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return tmp_path


def agri(home: Path, base: Path, database: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    found = {name: value for name, value in os.environ.items() if not name.startswith("AGRI_")}
    variables = {
        **found, "AGRI_HOME": str(home), "AGRI_INDEX": str(home / "index"), "AGRI_WRITER": "local", "AGRI_MODEL": str(base),
        "AGRI_DATABASE_URL": database, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "AGRI_MAX_NEW_TOKENS": "24",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "ui.cli", *arguments],
        env=variables, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip


def agronomists(store: Store) -> list[str]:
    """An administrator from the one-time link of the terminal, who invites an agronomist."""
    code = store.accounts.first_link()
    assert code is not None
    admin = store.accounts.accept(code, "Ada", PASSWORD)
    invited = store.accounts.accept(store.accounts.invite(admin.id, "agronomist"), "Bo", PASSWORD)
    return [admin.id, invited.id]


def test_what_people_said_becomes_the_adapter_that_answers(store: Store, database_url: str, home: Path, base: Path) -> None:
    experts = agronomists(store)
    for number in range(140):
        owner = f"farmer{number % 20}"
        good, bad = answered(number, f"{RUST}[1]"), answered(number, f"{SURE} {SURE if number % 2 else ''}".strip())
        bad = replace(bad, question=good.question)
        store.save_turn(owner=owner, conversation_id=None, answer=bad)
        store.save_feedback(owner, Feedback(answer_id=bad.id, rating="down", author=owner, reasons=("wrong",)))
        store.reviews.add_alternative(good)
        if number % 20 != 7:  # one of twenty people never agreed
            store.consents.allow(owner)
        first, second = (good, bad) if number % 3 else (bad, good)
        store.reviews.compare(
            Comparison(
                id=new_id(),
                question_id=good.question.id,
                first=first.id,
                second=second.id,
                preferred="first" if first is good else "second",
                reviewer=experts[number % 2],
            )
        )
    out = home / "retrainings" / "first"
    done = agri(home, base, database_url, "retrain", "--config", str(home / "retrain.yaml"), "--out", str(out))
    adapter = out / "3-train" / "first" / "adapter"
    assert done.stdout == f"Promoted: {adapter} writes the answers from now on.\n", (done.stdout, done.stderr[-3000:])
    raw = (out / "1-data" / "data" / "raw.jsonl").read_text(encoding="utf-8")
    assert raw.count('"part": "comparisons"') == 133  # not those on the answers of who did not agree
    assert all(person not in raw for person in ("farmer", *experts))

    # a program that has been serving all the time follows, and says which adapter wrote
    serving = SwitchingModel(LocalModel(str(base), max_new_tokens=24, temperature=0.0), store.promotions.current, 0.0)
    held = answered(139, "")
    brief = Brief(question=held.question, intent="explain", hits=(), messages=as_taught.request_of(held))
    assert "".join(serving.stream(brief)).startswith(RUST)
    assert serving.adapter == "first"
    back = agri(home, base, database_url, "promote", "base", "--reason", "a test")
    assert back.returncode == 0, back.stderr
    assert not "".join(serving.stream(brief)).startswith(RUST)
    assert [each.kind for each in store.promotions.history()] == ["rolled_back", "promoted"]
