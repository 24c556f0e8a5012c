"""An agronomist reviews with keys, corrects, compares and signs, and a farmer gets what was signed, in real browsers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from running_app import RunningApp, missing

from agri_llm.judgements import Account
from agri_llm.records import new_id
from agri_llm.store import Store

try:
    from playwright.sync_api import Locator, Page, expect
except ImportError:
    missing("Playwright is not installed: run `make setup` to test the page in a browser.")

expect.set_options(timeout=20_000)
Open = Callable[..., Page]
SECRET = "maize after beans"
TOMATO = "My tomato leaves have brown spots with rings. What should I do?"
DRY = "How dry must maize be before I store it?"
WORM = "How do I control fall armyworm in maize?"


@pytest.fixture(scope="module")
def app(run_app: Callable[..., RunningApp], index: Path) -> RunningApp:
    """A page of its own: other tests' answers would stand in the queue."""
    return run_app(AGRI_INDEX=str(index))


@pytest.fixture(scope="module")
def boris(app: RunningApp) -> Account:
    store = Store(app.database)
    administrator = store.accounts.accept(store.accounts.first_link() or "", "Amina", SECRET)
    account = store.accounts.accept(store.accounts.invite(administrator.id, "agronomist"), "Boris", SECRET)
    store.close()
    return account


def picture(page: Page, name: str) -> None:
    """Keep a screenshot where somebody wants to look at it."""
    folder = os.environ.get("AGRI_SCREENSHOTS")
    if folder:
        page.wait_for_timeout(400)
        page.screenshot(path=Path(folder) / f"{name}.png")


def ask(page: Page, text: str) -> None:
    page.get_by_test_id("stChatInputTextArea").fill(text)
    page.get_by_test_id("stChatInputTextArea").press("Enter")
    expect(page.locator(".agri-question").last).to_have_text(text)
    expect(page.locator(".agri-sources").last).to_be_visible()
    still(page)


def still(page: Page) -> None:
    expect(page.locator(".stApp[data-test-script-state=notRunning]")).to_be_attached()


def sign_in(page: Page, app: RunningApp) -> None:
    page.goto(f"{app.url}/sign-in")
    page.get_by_role("textbox", name="Name").fill("Boris")
    page.get_by_role("textbox", name="Password").fill(SECRET)
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").click()
    expect(page.get_by_text("Boris, agronomist")).to_be_visible()
    page.get_by_role("link", name="Review").click()
    expect(page.locator(".agri-asked")).to_be_visible()
    still(page)


def score(page: Page, keys: str) -> None:
    """Press one key for each criterion, as soon as the page asks for it."""
    for left, key in zip(range(len(keys), 0, -1), keys, strict=True):
        expect(page.get_by_text(f"{left} of 5 to score")).to_be_visible()
        page.keyboard.press(key)
    expect(page.get_by_text("All five are scored")).to_be_visible()


def test_an_agronomist_reviews_by_keyboard_corrects_compares_and_signs_and_a_farmer_is_served(
    app: RunningApp, visitor: Open, boris: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    farmer = visitor()
    farmer.goto(app.url)
    for asked_before, question in enumerate((WORM, DRY, TOMATO)):
        ask(farmer, question)
        expect(farmer.get_by_role("radio", name="Thumbs down")).to_have_count(asked_before + 1)
    farmer.get_by_role("radio", name="Thumbs down").last.click()
    farmer.get_by_role("button", name="it is unsafe").click()
    farmer.get_by_role("button", name="Save").click()
    expect(farmer.get_by_text("Your vote is saved")).to_be_visible()

    page = visitor()
    sign_in(page, app)
    expect(page.locator(".agri-asked")).to_contain_text(TOMATO)  # what was called unsafe comes first
    expect(page.locator(".agri-asked")).to_contain_text("called unsafe")
    picture(page, "review-desktop")

    # The text is refused first, and nothing of it is lost, not even by opening the page anew
    score(page, "32345")
    page.get_by_text("Mark what is wrong, or correct it").click()
    box = page.get_by_label("The answer as it should be")
    good = box.input_value()
    box.fill(f"{good}\nSpray 5 kg of copper per hectare.[1]")
    box.press("Control+Enter")
    expect(page.get_by_text("Not saved, nothing is lost")).to_be_visible()
    expect(page.get_by_text("“Spray 5 kg of copper per hectare")).to_have_count(2)  # below, and beside the text
    picture(page, "review-refused")
    page.reload()
    expect(page.get_by_text("All five are scored")).to_be_visible()
    expect(page.get_by_label("The answer as it should be")).to_have_value(f"{good}\nSpray 5 kg of copper per hectare.[1]")
    box = page.get_by_label("The answer as it should be")
    shorter = good.splitlines()[0]
    box.fill(shorter)
    box.blur()
    still(page)
    page.get_by_text("Sign it").click()
    page.get_by_text("I vouch for this answer as Boris").click()
    expect(page.get_by_role("group", name="Valid until")).to_be_visible()
    picture(page, "review-signing")
    pressed_until(page, "Control+Enter", page.get_by_text("1 done today"))
    expect(page.locator(".agri-asked")).not_to_contain_text(TOMATO)

    # A plain good answer: five keys, and one to go on
    asked = page.locator(".agri-asked .agri-question").inner_text()
    score(page, "55555")
    begun = time.perf_counter()
    pressed_until(page, "Control+Enter", page.get_by_text("2 done today"))
    expect(page.locator(".agri-asked")).not_to_contain_text(asked)
    seconds = time.perf_counter() - begun
    with capsys.disabled():
        print(f"\nsave and next in the browser: {1000 * seconds:.0f} ms")  # noqa: T201 - measured figures
    pressed_until(page, "s", page.get_by_text("Nothing waits for you"))

    store = Store(app.database)
    material = {review.correction: review for review in store.reviews.said(boris.id)}
    assert set(material) == {shorter, ""}
    assert list(material[shorter].scores.values()) == [3, 2, 3, 4, 5]
    another(store, boris, material[""].answer_id)
    store.close()

    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_text("Answer 2")).to_be_visible()
    picture(page, "comparison-desktop")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("button", name="Save and next")).to_be_enabled()
    pressed_until(page, "Control+Enter", page.get_by_text("Nothing waits for you"))
    page.get_by_role("link", name="Agreement").click()
    expect(page.get_by_text("2 reviewed answers")).to_be_visible()
    picture(page, "agreement-desktop")

    other = visitor()
    other.goto(app.url)
    ask(other, TOMATO.upper())
    expect(other.get_by_text("Signed by Boris")).to_be_visible()
    picture(other, "served")


def pressed_until(page: Page, key: str, seen: Locator) -> None:
    """Press a key until it was taken: a page that is just being drawn hears none, and a person presses again."""
    for _ in range(5):
        still(page)
        page.keyboard.press(key)
        try:
            expect(seen).to_be_visible(timeout=8_000)
        except AssertionError:
            continue
        return
    expect(seen).to_be_visible()


def another(store: Store, boris: Account, answer_id: str) -> None:
    """A second answer to the question of an answer, shorter than the first."""
    with store._reading() as session:
        from agri_llm.tables import AnswerRow, QuestionRow, answer_from

        row = session.get_one(AnswerRow, answer_id)
        first = answer_from(row, session.get_one(QuestionRow, row.question_id))
    assert store.reviews.add_alternative(replace(first, id=new_id(), text=first.text.splitlines()[0]))
