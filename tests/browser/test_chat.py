"""What visitors do on the page, in a real browser."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from running_app import ROOT, RunningApp, missing

from agri_llm.store import Store

try:
    from playwright.sync_api import Page, expect
except ImportError:
    missing("Playwright is not installed: run `make setup` to test the page in a browser.")

expect.set_options(timeout=20_000)
Open = Callable[..., Page]
TOMATO = "My tomato leaves have brown spots with rings. What should I do?"


def ask(page: Page, text: str) -> None:
    box = page.get_by_test_id("stChatInputTextArea")
    box.fill(text)
    box.press("Enter")


def finished(page: Page, answers: int = 1) -> None:
    """Wait until so many answers stand on the page and nothing is at work."""
    expect(page.locator(".agri-answer")).to_have_count(answers)
    expect(page.locator(".stApp[data-test-script-state=notRunning]")).to_be_attached()
    expect(page.locator(".agri-step")).to_have_count(0)


def test_stopping_in_the_middle_keeps_what_was_shown(slow_app: RunningApp, visitor: Open) -> None:
    page = visitor()
    page.goto(slow_app.url)
    ask(page, TOMATO)
    expect(page.locator(".agri-answer p").nth(0)).to_contain_text("brown spots")
    expect(page.locator(".agri-step")).to_be_visible()
    page.get_by_test_id("stChatInputStopButton").click()
    expect(page.get_by_text("What was written is kept.")).to_be_visible()
    finished(page)
    shown = page.locator(".agri-answer p").nth(0).inner_text()
    expect(page.locator(".agri-source")).to_have_count(1)
    page.reload()
    expect(page.locator(".agri-answer p").nth(0)).to_have_text(shown)
    expect(page.get_by_role("button", name="Ask again")).to_be_visible()


def test_an_example_is_answered_and_its_citation_shows_the_quoted_words(app: RunningApp, visitor: Open) -> None:
    page = visitor()
    page.goto(app.url)
    page.get_by_role("button", name="My tomato leaves have brown spots").click()
    finished(page)
    mark = page.locator("a.agri-mark").first
    expect(mark).to_have_accessible_name("Source 1")
    expect(page.locator(".agri-source[open]")).to_have_count(0)
    mark.click()
    source = page.locator(".agri-source[open]").first
    expect(source.locator("mark").first).to_be_visible()
    expect(source).to_contain_text("Early blight of tomato")
    expect(source).to_contain_text("CC-BY-4.0")
    expect(source).to_contain_text("2026-11-23")
    assert source.locator("mark").first.inner_text().rstrip(".") in page.locator(".agri-answer").inner_text()


def test_a_vote_with_reason_and_correction_is_stored_and_there_again_after_a_reload(app: RunningApp, visitor: Open) -> None:
    page = visitor()
    page.goto(app.url)
    ask(page, "How do I control fall armyworm in maize?")
    finished(page)
    page.get_by_role("radio", name="Thumbs down").click()
    page.get_by_role("button", name="not for my place").click()
    page.get_by_label("What should it have said?").fill("Ask the spray service first.")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Your vote is saved.")).to_be_visible()
    owner, conversation = owner_of(page), conversation_of(page)
    store = Store(app.database)
    (answer,) = store.turns(owner, conversation)
    vote = store.feedback_of(owner, answer.id)
    assert vote is not None
    assert (vote.rating, vote.reasons, vote.correction) == ("down", ("not_my_place",), "Ask the spray service first.")
    page.reload()
    expect(page.get_by_text("Your vote is saved.")).to_be_visible()
    page.get_by_role("button", name="Change").click()
    expect(page.get_by_label("What should it have said?")).to_have_value("Ask the spray service first.")


def test_a_vote_while_an_answer_is_written_interrupts_nothing(slow_app: RunningApp, visitor: Open) -> None:
    page = visitor()
    page.goto(slow_app.url)
    ask(page, TOMATO)
    finished(page)
    ask(page, "How do I control fall armyworm in maize?")
    expect(page.locator(".agri-answer").nth(1).locator("a.agri-mark").first).to_be_visible()
    page.get_by_role("radio", name="Thumbs up").first.click()
    finished(page, answers=2)
    expect(page.locator(".agri-note")).to_have_count(0)
    expect(page.get_by_text("What was good?")).to_be_visible()
    owner, store = owner_of(page), Store(slow_app.database)
    first, second = store.turns(owner, conversation_of(page))
    vote = store.feedback_of(owner, first.id)
    assert vote is not None
    assert vote.rating == "up"
    assert second.complete


def test_a_follow_up_refers_to_the_question_before(app: RunningApp, visitor: Open) -> None:
    page = visitor()
    page.goto(app.url)
    ask(page, "What does early blight look like on potato?")
    finished(page)
    ask(page, "and for tomato?")
    finished(page, answers=2)
    expect(page.locator(".agri-answer").nth(1)).to_contain_text("rings")
    expect(page.locator(".agri-answer").nth(1).locator(".agri-title").first).to_have_text("Early blight of tomato")


def test_a_question_without_a_crop_offers_crops_to_tap(app: RunningApp, visitor: Open) -> None:
    page = visitor()
    page.goto(app.url)
    ask(page, "My plants have brown spots with rings on the lower leaves, what should I do?")
    expect(page.get_by_text("A question back")).to_be_visible()
    page.get_by_role("button", name="tomato", exact=True).click()
    finished(page, answers=2)
    expect(page.locator(".agri-answer").nth(1).locator(".agri-title").first).to_have_text("Early blight of tomato")


def test_earlier_conversations_are_found_opened_and_deleted(app: RunningApp, visitor: Open) -> None:
    page = visitor()
    page.goto(app.url)
    for question in ("How dry must maize be in store?", "What is early blight of tomato?", "Hello", "How do I dry grain?"):
        ask(page, question)
        finished(page)
        page.get_by_role("button", name="New chat").click()
        expect(page.get_by_role("heading", name="Agri", exact=True)).to_be_visible()
    rows = page.locator(".st-key-history [class*=st-key-open-]")
    expect(rows).to_have_count(4)
    expect(rows.first).to_contain_text("How do I dry grain?")
    page.get_by_placeholder("Search your questions").press_sequentially("early BLIGHT")
    expect(rows).to_have_count(1)
    rows.first.get_by_role("button").click()
    expect(page.locator(".agri-question")).to_have_text("What is early blight of tomato?")
    page.get_by_role("button", name="Delete: What is early blight").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".agri-question")).to_have_count(0)
    expect(page.get_by_text("Nothing found.")).to_be_visible()


def test_another_visitor_cannot_open_a_conversation_by_its_address(app: RunningApp, visitor: Open) -> None:
    page = visitor()
    page.goto(app.url)
    ask(page, "How do I control fall armyworm in maize?")
    finished(page)
    expect(page).to_have_url(re.compile(r"\?c="))
    stranger = visitor()
    stranger.goto(page.url)
    expect(stranger.get_by_text("This conversation is not among yours")).to_be_visible()
    expect(stranger.get_by_text("armyworm")).to_have_count(0)
    forger = visitor()
    forger.context.add_cookies([{"name": "agri_visitor", "value": f"{owner_of(page)}.forged", "url": app.url}])
    forger.goto(page.url)
    expect(forger.get_by_text("This conversation is not among yours")).to_be_visible()


def test_the_language_changes_at_once_and_stays_after_a_reload(app: RunningApp, visitor: Open) -> None:
    page = visitor()
    page.goto(app.url)
    page.get_by_text("中文").click()
    expect(page.get_by_role("button", name="新对话")).to_be_visible()
    expect(page.get_by_placeholder("请输入您的问题…")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="新对话")).to_be_visible()


def test_code_in_a_question_or_passage_is_shown_and_does_nothing(app: RunningApp, visitor: Open) -> None:
    page = visitor()
    page.goto(app.url)
    ask(page, "What is mildew of quinoa? <img src=https://evil.example/q.png onerror=window.hacked=1>")
    finished(page)
    page.locator("a.agri-mark").first.click()
    expect(page.locator(".agri-source[open] mark").first).to_be_visible()
    expect(page.locator(".agri-source[open]")).to_contain_text("<script>window.hacked=1</script>")
    for inside in ("img", "script", ".katex", "a[href^='javascript']", "[onerror]"):
        expect(page.locator(f".agri-answer {inside}, .agri-question {inside}, .st-key-history {inside}")).to_have_count(0)
    assert page.evaluate("window.hacked") is None


def test_a_phone_of_360_pixels_never_scrolls_sideways(app: RunningApp, visitor: Open) -> None:
    page = visitor(360, 740)
    page.goto(app.url)
    expect(page.get_by_role("heading", name="Agri", exact=True)).to_be_visible()
    assert fits(page)
    ask(page, "How do I control fall armyworm in maize? " + "x" * 300)
    finished(page)
    page.locator("a.agri-mark").first.click()
    page.get_by_role("radio", name="Thumbs down").click()
    expect(page.get_by_label("What should it have said?")).to_be_visible()
    assert fits(page)


def test_everything_can_be_done_with_the_keyboard(app: RunningApp, visitor: Open) -> None:
    page = visitor()
    page.goto(app.url)
    expect(page.get_by_role("button", name="How do I control fall armyworm")).to_be_visible()
    tab_to(page, "How do I control fall armyworm")
    page.keyboard.press("Enter")
    finished(page)
    page.locator("a.agri-mark").first.focus()
    tab_to(page, "Fall armyworm on maize")
    page.keyboard.press("Enter")
    expect(page.locator(".agri-source[open] mark").first).to_be_visible()


def test_texts_and_marks_have_enough_contrast_in_light_and_dark(app: RunningApp, visitor: Open) -> None:
    for scheme in ("light", "dark"):
        page = visitor(color_scheme=scheme)
        page.goto(app.url)
        ask(page, "How do I control fall armyworm in maize?")
        finished(page)
        page.locator("a.agri-mark").first.click()
        for place in (
            "a.agri-mark",
            ".agri-number",
            ".agri-passage",
            "mark",
            ".agri-facts dt",
            ".agri-question",
            ".agri-where",
        ):
            assert contrast(page, place) >= 4.5, (scheme, place)


def test_a_question_that_is_too_long_is_answered_with_both_lengths(app: RunningApp, visitor: Open) -> None:
    page = visitor()
    page.goto(app.url)
    ask(page, "maize " * 500)
    finished(page)
    expect(page.locator(".agri-refusal")).to_contain_text("2,000")


def test_without_an_index_one_sentence_says_what_to_do(run_app: Callable[..., RunningApp], visitor: Open) -> None:
    running = run_app(AGRI_INDEX="/dev/null/index")
    page = visitor()
    page.goto(running.url)
    ask(page, TOMATO)
    expect(page.get_by_test_id("stAlert")).to_be_visible()
    expect(page.get_by_role("button", name="Ask again")).to_be_visible()
    expect(page.get_by_text("Traceback")).to_have_count(0)
    reply = page.request.get(f"{running.url}/api/health")
    assert reply.status == 503
    assert reply.json() == {"status": "unavailable"}


def test_every_reply_is_protected_and_healthy(app: RunningApp, visitor: Open) -> None:
    page = visitor()
    reply = page.request.get(f"{app.url}/api/health")
    assert (reply.status, reply.json()) == (200, {"status": "ok"})
    for address in ("/", "/api/health", "/_stcore/health"):
        headers = page.request.get(app.url + address).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
    (cookie,) = (cookie for cookie in page.context.cookies() if cookie["name"] == "agri_visitor")
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"


def test_the_server_does_not_start_with_options_that_show_internals(tmp_path: Path) -> None:
    environment = os.environ | {"AGRI_HOME": str(tmp_path), "STREAMLIT_CLIENT_SHOW_ERROR_DETAILS": "full"}
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "ui" / "asgi.py"), "--server.port", "0"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert "showErrorDetails is 'full'" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


def owner_of(page: Page) -> str:
    """The visitor's key, the signed part of the cookie."""
    (cookie,) = (cookie for cookie in page.context.cookies() if cookie["name"] == "agri_visitor")
    return str(cookie["value"]).rpartition(".")[0]


def conversation_of(page: Page) -> str:
    expect(page).to_have_url(re.compile(r"[?&]c="))
    return re.findall(r"[?&]c=([0-9a-f-]+)", page.url)[0]


def fits(page: Page) -> bool:
    """Whether neither the page nor its scrolling part is wider than the screen."""
    widest = (
        "Math.max(...[document.documentElement, ...document.querySelectorAll('[data-testid=stMain]')].map(e => e.scrollWidth))"
    )
    return bool(page.evaluate(f"{widest} <= window.innerWidth"))


def tab_to(page: Page, words: str) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.locator(":is(button, summary, a):focus")
        if focused.count() and words in focused.inner_text():
            return
    pytest.fail(f"{words!r} cannot be reached with the Tab key")


def contrast(page: Page, selector: str) -> float:
    """Contrast of a text to the ground behind it, as the browser paints them (WCAG 2.2)."""
    return float(
        page.locator(selector).first.evaluate(
            """element => {
                const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
                const grounds = [];
                for (let at = element; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
                const light = colours => {
                    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
                    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(value => {
                        const share = value / 255;
                        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
                    });
                    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
                };
                const ground = light(grounds), text = light([...grounds, getComputedStyle(element).color]);
                return (Math.max(ground, text) + 0.05) / (Math.min(ground, text) + 0.05);
            }"""
        )
    )
