"""What visitors do with photos on the page, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from drawn_leaves import leaf
from running_app import RunningApp, missing

try:
    from playwright.sync_api import Page, expect
except ImportError:
    missing("Playwright is not installed: run `make setup` to test the page in a browser.")

expect.set_options(timeout=30_000)  # the first photo loads the network
Open = Callable[..., Page]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "leaf.png"
    leaf("common_bean__brown_spot", 3, side=256).photo.save(path)
    return path


def send(page: Page, files: list[Path], text: str = "") -> None:
    page.get_by_test_id("stChatInputTextArea").wait_for()
    page.locator("input[type=file]").first.set_input_files([str(file) for file in files])
    expect(page.get_by_test_id("stFileChipName").last).to_have_text(files[-1].name)
    box = page.get_by_test_id("stChatInputTextArea")
    box.fill(text)
    box.press("Enter")


def test_a_photo_is_shown_diagnosed_and_answered_from_its_sheet(photo_app: RunningApp, visitor: Open, photo: Path) -> None:
    page = visitor()
    page.goto(photo_app.url)
    send(page, [photo, photo], "What is this?")
    expect(page.locator(".agri-diagnosis")).to_contain_text("tomato early blight")
    expect(page.locator(".agri-diagnosis")).to_contain_text("fairly sure")
    expect(page.locator(".agri-source summary").first).to_contain_text("Early blight of tomato")
    expect(page.get_by_test_id("stImage").locator("img")).to_have_count(2)
    page.get_by_text("Show where it looked").click()
    expect(page.get_by_text("Red: the places that speak for this diagnosis")).to_be_visible()
    expect(page.get_by_test_id("stImage").locator("img")).to_have_count(3)


def test_a_photo_without_words_is_a_question(photo_app: RunningApp, visitor: Open, photo: Path) -> None:
    page = visitor()
    page.goto(photo_app.url)
    send(page, [photo])
    expect(page.locator(".agri-question")).to_have_text("What is on this photo, and what should I do?")
    expect(page.locator(".agri-source summary").first).to_contain_text("Early blight of tomato")


def test_a_file_that_is_no_photo_is_one_sentence_and_the_question_stays(
    photo_app: RunningApp, visitor: Open, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("no photo at all", encoding="utf-8")
    page = visitor()
    page.goto(photo_app.url)
    send(page, [broken], "How do I control early blight in tomato?")
    expect(page.get_by_test_id("stAlert")).to_contain_text("broken.jpg is something else")
    page.get_by_role("button", name="Ask again").click()
    expect(page.locator(".agri-source summary").first).to_contain_text("Early blight of tomato")
