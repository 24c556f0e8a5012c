"""A retraining begun, watched, stopped, taken up again and judged in a real browser, of a tiny base, for real."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_chat
import yaml
from running_app import RunningApp, missing

from agri_llm.judgements import Comparison
from agri_llm.prompts import PROMPT_HASH
from agri_llm.records import Answer, Citation, Passage, Question, new_id
from agri_llm.store import Store
from knowledge_base import builder
from knowledge_base.embedding import Embedder
from training import as_taught

try:
    from playwright.sync_api import Page, expect
except ImportError:
    missing("Playwright is not installed: run `make setup` to test the page in a browser.")

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.timeout(400)]
Open = Callable[..., Page]
SECRET = "maize after beans"
RUST = "Grow a resistant wheat variety."
SURE = "This always works and is completely safe."
CROPS = "wheat barley rye oats spelt triticale einkorn emmer durum teff".split()
WAYS = "stop treat avoid fight prevent cure limit reduce manage end hinder slow detect see".split()
PASSAGE = Passage(id="rust#1", document_id="rust", title="Rust", text=RUST)


def picture(page: Page, name: str) -> None:
    """Keep screenshots of the whole page, also as on a phone, where somebody wants to look at them."""
    folder = os.environ.get("AGRI_SCREENSHOTS")
    if not folder:
        return
    for kind, width in (("", 1280), ("-phone", 390)):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(1500)
        height = page.get_by_test_id("stMainBlockContainer").evaluate("part => part.scrollHeight")
        page.set_viewport_size({"width": width, "height": max(900, height)})
        page.wait_for_timeout(1000)
        page.screenshot(path=Path(folder) / f"{name}{kind}.png")
    page.set_viewport_size({"width": 1280, "height": 900})


def signed_in(page: Page, url: str, name: str) -> None:
    page.goto(f"{url}/sign-in")
    page.get_by_role("textbox", name="Name").fill(name)
    page.get_by_role("textbox", name="Password").fill(SECRET)
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").click()
    expect(page.get_by_text(f"{name}, ")).to_be_visible()


def answered(number: int, text: str) -> Answer:
    asked = f"{WAYS[number // 10 % len(WAYS)]} rust {CROPS[number % 10]}?"
    cited = (Citation(number=1, passage=PASSAGE, quote=RUST),) if "[1]" in text else ()
    question = Question(text=asked, language="en")
    answer = Answer(question=question, kind="advice", text=text, citations=cited, passages=(PASSAGE,), model="tiny")
    return replace(answer, messages=as_taught.request_of(answer), prompt_hash=PROMPT_HASH)


def rated(store: Store) -> None:
    """Let the administrator and an agronomist prefer the cited one of two answers to 140 questions of people who agreed."""
    accounts = store.accounts
    ada = accounts.accept(accounts.first_link() or "", "Ada", SECRET)
    experts = (ada, accounts.accept(accounts.invite(ada.id, "agronomist"), "Bo", SECRET))
    for number in range(140):
        owner = f"farmer{number % 20}"
        good, bad = answered(number, f"{RUST}[1]"), answered(number, f"{SURE} {SURE if number % 2 else ''}".strip())
        bad = replace(bad, question=good.question)
        store.save_turn(owner=owner, conversation_id=None, answer=bad)
        store.reviews.add_alternative(good)
        store.consents.allow(owner)
        said: dict[str, Any] = {"question_id": good.question.id, "reviewer": experts[number % 2].id}
        store.reviews.compare(Comparison(id=new_id(), first=bad.id, second=good.id, preferred="second", **said))


def configured(home: Path) -> Path:
    """Settings of a retraining that takes seconds, as the settings of this installation."""
    builder.build(home / "index", [PASSAGE], Embedder(""))
    case = '{"id": "%s", "kind": "refusal", "language": "en", "question": "What does a %s cost?", "expected": "refuse"}\n'
    (home / "guard.jsonl").write_text(case % ("g", "tractor") + case % ("h", "plough"), encoding="utf-8")
    training = {
        "method": "qlora", "rank": 16, "alpha": 32, "learning_rate": 0.02, "max_steps": 40, "save_steps": 20, "eval_steps": 10,
        "max_length": 500, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1, "gradient_checkpointing": False,
        "optim": "adamw_torch", "loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 1.0], "longest_wins": 1.0,
    }  # fmt: skip
    (home / "align.yaml").write_text(yaml.safe_dump(training), encoding="utf-8")
    settings = {
        "config": "align.yaml", "suites": [str(home / "guard.jsonl")], "answer_tokens": 24, "prompts": 40,
        "longer_wins": 0.95, "repeated": 1.0,
    }  # fmt: skip
    (home / "retrain-dpo.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return home


def test_a_retraining_is_begun_watched_stopped_taken_up_and_judged(
    run_app: Callable[..., RunningApp], visitor: Open, tmp_path: Path
) -> None:
    texts = [message["content"] for at in range(140) for message in answered(at, f"{RUST}[1]").messages]
    base = tiny_chat.save_model(tmp_path / "base", texts=[*texts, RUST, SURE], vocabulary=1200)
    (tmp_path / "home").mkdir()
    home = configured(tmp_path / "home")
    store = Store(f"sqlite:///{home / 'agri.sqlite3'}")
    store.migrate()
    rated(store)
    app = run_app(
        AGRI_HOME=str(home),
        AGRI_INDEX=str(home / "index"),
        AGRI_WRITER="local",
        AGRI_MODEL=str(base),
        AGRI_MAX_NEW_TOKENS="24",
    )
    page = visitor()
    signed_in(page, app.url, "Ada")
    page.get_by_role("link", name="Training").click()

    page.get_by_role("button", name="Look").click()
    expect(page.get_by_text("What it would become")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("row", name="Pairs (better, worse)")).to_contain_text("108")  # by the settings of this home
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("A retraining is running: ")).to_be_visible(timeout=20_000)
    expect(page.get_by_text("of 40", exact=False).first).to_be_visible(timeout=90_000)
    expect(page.get_by_text("Step 3 of 6: training")).to_be_visible()
    expect(page.get_by_text("begun by Ada on")).to_be_visible()  # not the user whose server it is
    picture(page, "training-running")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("is stopped. The same run can go on where it was.")).to_be_visible(timeout=60_000)
    [run] = (home / "retrainings").glob("*-dpo")
    assert not (run / "3-train" / "step.json").exists()

    page.reload()  # whoever opens the page later finds the run
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("A retraining is running: ")).to_be_visible(timeout=20_000)
    expect(page.get_by_text("its verdict stands below")).to_be_visible(timeout=150_000)
    expect(page.get_by_text("The gate lets it pass")).to_be_visible()
    expect(page.get_by_test_id("stVegaLiteChart").locator("canvas, svg").first).to_be_visible()
    expect(page.get_by_text(f"{run.name} writes the answers.")).to_be_visible()
    picture(page, "training")
    current = store.promotions.current()
    assert current is not None
    assert current.adapter == str(run / "3-train" / run.name / "adapter")

    page.get_by_role("button", name="Go back").click()
    page.get_by_role("dialog").get_by_role("button", name="Go back to it").click()
    expect(page.get_by_text("Please say why")).to_be_visible()
    picture(page, "training-back")
    page.get_by_role("textbox", name="Why").fill("It is rude.")
    page.get_by_role("dialog").get_by_role("button", name="Go back to it").click()
    expect(page.get_by_text("the base alone writes the answers.")).to_be_visible()
    back = store.promotions.current()
    assert back is not None
    assert (back.adapter, back.reasons) == (None, ("It is rude.",))
    page.get_by_role("button", name="Go back").click()  # and forth: to what was in use before
    page.get_by_role("textbox", name="Why").fill("It was not rude at all.")
    page.get_by_role("dialog").get_by_role("button", name="Go back to it").click()
    expect(page.get_by_text(f"{run.name} writes the answers.")).to_be_visible()
    store.close()

    stranger = visitor()
    stranger.goto(f"{app.url}/training")
    expect(stranger.get_by_text("You are not signed in")).to_be_visible()
    guest = visitor()
    signed_in(guest, app.url, "Bo")
    expect(guest.get_by_role("link", name="Review")).to_be_visible()
    expect(guest.get_by_role("link", name="Training")).to_have_count(0)
    guest.goto(f"{app.url}/training")
    expect(guest.get_by_text("Your account is that of an agronomist")).to_be_visible()
    expect(guest.get_by_role("button", name="Start")).to_have_count(0)
