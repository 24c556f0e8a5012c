"""What visitors do with photos on the page, in a real browser."""

from __future__ import annotations

import base64
import time
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
GREEN = """() => {
    const video = document.querySelector("video"), canvas = document.createElement("canvas"), drawn = canvas.getContext("2d");
    if (video.videoWidth) drawn.drawImage(video, 0, 0, canvas.width, canvas.height);
    return drawn.getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data[1];
}"""  # how green the middle of what the camera sees is, 0–255


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "leaf.png"
    leaf("common_bean__brown_spot", 3, side=256).photo.save(path)
    return path


def send(page: Page, files: list[Path], text: str = "") -> None:
    page.get_by_test_id("stChatInputTextArea").wait_for()
    page.locator("input[type=file]").first.set_input_files([str(file) for file in files])
    expect(page.get_by_test_id("stFileChipName").last).to_have_text(files[-1].name)
    expect(page.get_by_test_id("stFileChipIconSpinner")).to_have_count(0)  # Enter does nothing before
    box = page.get_by_test_id("stChatInputTextArea")
    box.fill(text)
    expect(page.get_by_role("button", name="Send message")).to_be_enabled()
    box.press("Enter")


def test_a_photo_is_shown_diagnosed_and_answered_from_its_sheet(photo_app: RunningApp, visitor: Open, photo: Path) -> None:
    page = visitor()
    page.goto(photo_app.url)
    send(page, [photo, photo], "What is this?")
    expect(page.locator(".agri-diagnosis")).to_contain_text("tomato early blight")
    expect(page.locator(".agri-diagnosis")).to_contain_text("almost sure (99%)")
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


def test_a_look_alike_has_its_sign_and_the_sign_its_source(photo_app: RunningApp, visitor: Open, photo: Path) -> None:
    page = visitor(360, 780)
    page.goto(photo_app.url)
    send(page, [photo], "What is this?")
    page.get_by_text("What else it could be").click()
    row = page.locator(".agri-diagnosis li").first
    expect(row).to_contain_text("tomato septoria leaf spot")
    expect(row).to_contain_text("Septoria leaf spot of tomato differs, because its spots are many")
    expect(page.get_by_role("radio", name="Thumbs up")).to_be_visible()  # the answer is whole: its sources are drawn anew then
    row.locator(".agri-mark").click()
    marked = page.locator(".agri-source mark", has_text="Septoria leaf spot of tomato differs")
    expect(marked).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_seven_photos_are_one_sentence_and_the_question_stays(
    photo_app: RunningApp, visitor: Open, photo: Path, tmp_path: Path
) -> None:
    files = [tmp_path / f"leaf-{number}.png" for number in range(7)]
    for file in files:
        file.write_bytes(photo.read_bytes())
    page = visitor()
    page.goto(photo_app.url)
    send(page, files, "How do I control early blight in tomato?")
    expect(page.get_by_test_id("stAlert")).to_contain_text("7 photos were given: we look at 6 at once; choose the clearest.")
    expect(page.locator(".agri-question")).to_have_text("How do I control early blight in tomato?")
    page.get_by_role("button", name="Ask again").click()
    expect(page.locator(".agri-source summary").first).to_contain_text("Early blight of tomato")


def test_six_photos_dropped_on_the_box_are_taken(photo_app: RunningApp, visitor: Open, photo: Path) -> None:
    page = visitor()
    page.goto(photo_app.url)
    page.get_by_test_id("stChatInputTextArea").wait_for()
    content = base64.b64encode(photo.read_bytes()).decode()
    dropped = page.evaluate_handle(
        """content => {
            const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0)), all = new DataTransfer();
            const named = number => new File([bytes], `leaf-${number}.png`, {type: "image/png"});
            for (let number = 0; number < 6; number++) all.items.add(named(number));
            return all;
        }""",
        content,
    )
    page.locator("body").dispatch_event("dragover", {"dataTransfer": dropped})
    place = page.get_by_text("Drag and drop").locator("xpath=preceding-sibling::*")
    place.dispatch_event("drop", {"dataTransfer": dropped})
    expect(page.get_by_test_id("stFileChipName")).to_have_count(6)
    page.get_by_test_id("stChatInputTextArea").fill("What is this?")
    expect(page.get_by_role("button", name="Send message")).to_be_enabled()  # all have arrived
    page.get_by_test_id("stChatInputTextArea").press("Enter")
    expect(page.locator(".agri-diagnosis")).to_contain_text("tomato early blight")
    expect(page.get_by_test_id("stImage").locator("img")).to_have_count(6)


def take(page: Page) -> None:
    """Open the camera, wait until its picture is no longer black, take a photo and use it."""
    page.get_by_role("button", name="Take a photo").click()
    page.locator("video").wait_for()
    deadline = time.monotonic() + 30
    while page.evaluate(GREEN) < 50 and time.monotonic() < deadline:
        page.wait_for_timeout(200)
    assert page.evaluate(GREEN) >= 50, "the camera sees nothing"
    page.get_by_role("button", name="Take Photo", exact=True).click()
    page.get_by_role("button", name="Use this photo").click(timeout=60_000)  # the photo has to arrive first
    expect(page.get_by_test_id("stCameraInput")).to_have_count(0)


def test_the_camera_opens_when_it_is_asked_for_and_its_photo_goes_with_the_question(
    photo_app: RunningApp, visitor: Open
) -> None:
    page = visitor(360, 780)
    page.add_init_script(
        """window.opened = 0; const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = wanted => { window.opened++; return real(wanted); };"""
    )
    page.goto(photo_app.url)
    page.get_by_test_id("stChatInputTextArea").wait_for()
    assert page.evaluate("window.opened") == 0
    take(page)
    assert page.evaluate("window.opened") > 0
    expect(page.get_by_test_id("stImage").locator("img")).to_have_count(1)
    page.get_by_test_id("stChatInputTextArea").fill("What is this?")
    page.get_by_test_id("stChatInputTextArea").press("Enter")
    expect(page.locator(".agri-question")).to_have_text("What is this?")
    expect(page.locator(".agri-diagnosis")).to_contain_text("tomato early blight")
    expect(page.get_by_role("button", name="Ask about it")).to_have_count(0)
    expect(page.get_by_test_id("stImage").locator("img")).to_have_count(1)


def test_a_photo_of_the_camera_can_be_asked_about_without_words_or_removed(photo_app: RunningApp, visitor: Open) -> None:
    page = visitor()
    page.goto(photo_app.url)
    for then in ("Remove", "Ask about it"):
        take(page)
        page.get_by_role("button", name=then).click()
        expect(page.get_by_role("button", name=then)).to_have_count(0)
    expect(page.locator(".agri-question")).to_have_text("What is on this photo, and what should I do?")
    expect(page.locator(".agri-diagnosis")).to_contain_text("tomato early blight")
