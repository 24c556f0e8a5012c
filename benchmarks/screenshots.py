"""Take the pictures in docs/screenshots from the running page: `make screenshots`."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright
from sqlalchemy import select

from agri_llm.judgements import CRITERIA, Review
from agri_llm.records import Answer, new_id
from agri_llm.store import Store
from agri_llm.tables import AnswerRow, QuestionRow, answer_from

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "screenshots"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
EARLIER = ("How dry must maize be before I store it?", "How do I control fall armyworm in maize?")
PASSWORD = "only for these pictures"
QUESTION = "My tomato leaves have brown spots with rings. What should I do?"


def main() -> None:
    """Start the page with the shipped sheets, ask it what visitors ask, and take one picture for each kind of screen."""
    chromium = shutil.which("chromium") or "/usr/bin/chromium"
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        port = _free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AGRI_", "STREAMLIT_"))}
        environment |= {"AGRI_HOME": home}
        command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "ui" / "asgi.py"), "--server.port", str(port)]
        server = subprocess.Popen(command, cwd=home, env=environment, stdout=subprocess.DEVNULL)
        try:
            _wait_until_up(f"http://127.0.0.1:{port}", server)
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            _take(browser, f"http://127.0.0.1:{port}")
            _take_of_experts(browser, f"http://127.0.0.1:{port}", f"sqlite:///{home}/agri.sqlite3")
            browser.close()
        finally:
            server.terminate()
            server.wait(timeout=30)
    _take_of_training()
    for picture in sorted(PICTURES.glob("*.png")):
        print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size:,} bytes")


def _take(browser: Browser, url: str) -> None:
    desktop = browser.new_context(viewport={"width": 1280, "height": 860})
    page = desktop.new_page()
    page.goto(url)
    for question in (*EARLIER, QUESTION):
        page.get_by_role("button", name="New chat").click()
        expect(page.locator(".agri-question")).to_have_count(0, timeout=60_000)
        _ask(page, question)
    page.locator(".agri-source summary").first.click()
    page.get_by_test_id("stMain").evaluate("part => part.scrollTo(0, 0)")
    page.mouse.move(640, 500)
    page.wait_for_timeout(500)
    page.screenshot(path=PICTURES / "desktop.png")
    phone = browser.new_context(
        viewport={"width": 360, "height": 740}, device_scale_factor=2, storage_state=desktop.storage_state()
    )
    page_on_phone = phone.new_page()
    page_on_phone.goto(page.url)
    expect(page_on_phone.locator(".agri-source")).not_to_have_count(0)
    page_on_phone.wait_for_timeout(1000)
    page_on_phone.screenshot(path=PICTURES / "phone.png")
    for width, one in (("", page), ("-phone", page_on_phone)):
        _vote(one)
        one.screenshot(path=PICTURES / f"vote{width}.png")


def _vote(page: Page) -> None:
    """Say what a farmer says of an answer that does not fit, up to the button that saves it."""
    page.get_by_role("radio", name="Thumbs down").last.click()
    page.get_by_role("button", name="not for my place").click()
    page.get_by_label("What should it have said?").fill("Ask the spray service first: here it sprays the whole village.")
    page.get_by_label("Anything else?").last.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)


def _take_of_experts(browser: Browser, url: str, database: str) -> None:
    """The pages of an agronomist at work; the scores behind the agreement are drawn: two careful experts, one careless."""
    store = Store(database)
    with_reviews(store)
    desktop = browser.new_context(viewport={"width": 1280, "height": 860})
    page = desktop.new_page()
    page.goto(f"{url}/sign-in")
    page.get_by_role("textbox", name="Name").fill("Amina")
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").click()
    expect(page.get_by_test_id("stChatInputTextArea")).to_be_visible(timeout=60_000)
    phone = browser.new_context(
        viewport={"width": 390, "height": 844}, device_scale_factor=2, storage_state=desktop.storage_state()
    ).new_page()
    for name, path in (("review", "review"), ("agreement", "agreement")):
        page.goto(f"{url}/{path}")
        phone.goto(f"{url}/{path}")
        for width, one in (("", page), ("-phone", phone)):
            expect(one.locator(".agri-asked, .agri-agreement").first).to_be_visible(timeout=60_000)
            one.wait_for_timeout(1500)
            one.screenshot(path=PICTURES / f"{name}{width}.png")
    with_comparison(store)
    page.goto(f"{url}/review")
    while not page.get_by_text("Answer 2").count():
        expect(page.locator(".agri-asked")).to_be_visible(timeout=60_000)
        page.get_by_role("button", name="Skip").click()
        page.wait_for_timeout(1500)
    page.screenshot(path=PICTURES / "comparison.png")
    phone.goto(f"{url}/review")
    expect(phone.get_by_text("Answer 1")).to_be_visible(timeout=60_000)
    phone.wait_for_timeout(1500)
    phone.screenshot(path=PICTURES / "comparison-phone.png")
    store.close()


def _take_of_training() -> None:
    """The page of training, from the test that retrains a tiny model for real: its curves and its verdict are not drawn."""
    test = ROOT / "tests" / "browser" / "test_retraining.py"
    variables = {**os.environ, "AGRI_SCREENSHOTS": str(PICTURES)}
    subprocess.run([sys.executable, "-m", "pytest", str(test)], cwd=ROOT, env=variables, check=True)


def with_reviews(store: Store) -> None:
    """Make three accounts, and let two careful experts and one who draws lots judge the same forty answers."""
    accounts = store.accounts
    amina = accounts.accept(accounts.first_link() or "", "Amina", PASSWORD)
    people = [amina, *(accounts.accept(accounts.invite(amina.id, "agronomist"), name, PASSWORD) for name in ("Boris", "Dice"))]
    draw, first = random.Random(0), _first(store)
    for number in range(40):
        truth = 1 + number % 5
        question = replace(first.question, id=new_id(), text=f"{first.question.text} ({number})")
        answer = replace(first, id=new_id(), question=question)
        store.save_turn(owner="somebody", conversation_id=None, answer=answer)
        for person in people:
            scores = {each: _near(draw, truth) if person.name != "Dice" else draw.randint(1, 5) for each in CRITERIA}
            store.reviews.submit(Review(answer_id=answer.id, reviewer=person.id, scores=scores))


def with_comparison(store: Store) -> None:
    """Add a second, shorter answer to a question that a visitor asked."""
    first = _first(store)
    text = first.text.splitlines()[0]
    cited = tuple(each for each in first.citations if f"[{each.number}]" in text)
    store.reviews.add_alternative(replace(first, id=new_id(), text=text, citations=cited))


def _first(store: Store) -> Answer:
    with store._reading() as session:
        row = session.scalars(select(AnswerRow).where(AnswerRow.kind == "advice").order_by(AnswerRow.id.desc())).all()
        asked = {one.id: session.get_one(QuestionRow, one.question_id) for one in row}
        return next(answer_from(one, asked[one.id]) for one in row if asked[one.id].text == QUESTION)


def _near(draw: random.Random, truth: int) -> int:
    return min(5, max(1, truth + draw.choice((0, 0, 0, 1, -1))))


def _ask(page: Page, question: str) -> None:
    box = page.get_by_test_id("stChatInputTextArea")
    box.fill(question)
    box.press("Enter")
    expect(page.locator(".agri-question")).to_have_text(question, timeout=60_000)
    expect(page.locator(".agri-sources")).to_have_count(1, timeout=60_000)
    expect(page.locator(".stApp[data-test-script-state=notRunning]")).to_be_attached(timeout=60_000)
    page.wait_for_timeout(500)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_up(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if server.poll() is not None:
            raise SystemExit("The page ended at once; start it by hand with `streamlit run ui/asgi.py` to see why.")
        try:
            urllib.request.urlopen(f"{url}/api/health", timeout=5).read()
        except (urllib.error.URLError, OSError):
            time.sleep(1)
        else:
            return
    raise SystemExit("The page did not start within five minutes.")


if __name__ == "__main__":
    main()
