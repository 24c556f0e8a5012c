"""What visitors do on the page, in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import RunningApp

from agri_llm.store import Store

pytest.importorskip("playwright", reason="Playwright is not installed: run `make setup` to test the page in a browser.")
from playwright.sync_api import Page, expect

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
