"""A visitor corrects a diagnosis, and decides what becomes of the photo, in a real browser."""

from __future__ import annotations

import io
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from drawn_leaves import leaf
from PIL import Image
from running_app import RunningApp, missing

from agri_llm.photos import reception
from agri_llm.store import Store

try:
    from playwright.sync_api import Page, TimeoutError, expect
except ImportError:
    missing("Playwright is not installed: run `make setup` to test the page in a browser.")

expect.set_options(timeout=30_000)
Open = Callable[..., Page]


@pytest.fixture
def photo(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A field photo of this test alone."""
    path = tmp_path / "leaf.png"
    leaf("common_bean__brown_spot", sum(request.node.name.encode()), side=256).photo.save(path)
    return path


def send(page: Page, file: Path, text: str = "What is this?") -> None:
    page.get_by_test_id("stChatInputTextArea").wait_for()
    page.locator("input[type=file]").first.set_input_files(str(file))
    expect(page.get_by_test_id("stFileChipName").last).to_have_text(file.name)
    expect(page.get_by_test_id("stFileChipIconSpinner")).to_have_count(0)  # Enter does nothing before
    box = page.get_by_test_id("stChatInputTextArea")
    box.fill(text)
    expect(page.get_by_role("button", name="Send message")).to_be_enabled()
    box.press("Enter")
    first = page.locator(".agri-source summary").first
    expect(first).to_contain_text("Early blight of tomato", timeout=90_000)  # a busy machine loads the network slowly
    settled(page)


def settled(page: Page) -> None:
    expect(page.locator(".stApp[data-test-script-state=notRunning]")).to_be_attached()


def choose(page: Page, label: str, option: str) -> None:
    """Choose from a list, typing as a person would; drawing the form closes a list that was opened just before."""
    settled(page)
    box, wanted = page.get_by_role("combobox", name=label), page.get_by_role("option", name=option, exact=True)
    for _ in range(3):
        box.click()
        box.fill(option)
        try:
            wanted.click(timeout=5_000)
        except TimeoutError:
            continue
        break
    settled(page)
    expect(box).to_have_value(option)


def kept(app: RunningApp, photo: Path) -> list[bytes]:
    """The bytes in the database of the photo that was sent."""
    wanted = reception.receive(photo.read_bytes())
    with sqlite3.connect(app.home / "agri.sqlite3") as connection:
        return [row[0] for row in connection.execute("SELECT data FROM photos WHERE sha256 = ?", (wanted.sha256,))]


def owner_of(page: Page) -> str:
    (cookie,) = (cookie for cookie in page.context.cookies() if cookie["name"] == "agri_visitor")
    return str(cookie["value"]).rpartition(".")[0]


def question_of(app: RunningApp, page: Page) -> str:
    expect(page).to_have_url(re.compile(r"[?&]c="))
    conversation = re.findall(r"[?&]c=([0-9a-f-]+)", page.url)[0]
    (answer,) = Store(app.database).turns(owner_of(page), conversation)
    return answer.question.id


def test_a_photo_is_diagnosed_answered_and_corrected_and_the_correction_is_in_the_database(
    photo_app: RunningApp, visitor: Open, photo: Path
) -> None:
    page = visitor()
    page.goto(photo_app.url)
    send(page, photo)
    expect(page.locator(".agri-diagnosis")).to_contain_text("tomato early blight")
    page.get_by_text("Show where it looked").click()
    expect(page.get_by_test_id("stImage").locator("img")).to_have_count(2)
    page.get_by_role("button", name="This was wrong").click()
    choose(page, "What does it have?", "tomato late blight")
    page.get_by_text("Keep the photos of this question").click()
    settled(page)
    assert kept(photo_app, photo) == []
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Your correction is saved: tomato late blight.")).to_be_visible()
    said = Store(photo_app.database).album.correction_of(owner_of(page), question_of(photo_app, page))
    assert said is not None
    assert (said.label, said.seen, said.status) == ("tomato__late_blight", "tomato__early_blight", "new")
    (stored,) = kept(photo_app, photo)
    assert Image.open(io.BytesIO(stored)).size == (256, 256)
    page.reload()
    expect(page.get_by_text("Your correction is saved: tomato late blight.")).to_be_visible()
    expect(page.get_by_test_id("stImage").locator("img")).to_have_count(1)
    page.get_by_role("button", name="Delete photos and correction").click()
    expect(page.get_by_role("button", name="This was wrong")).to_be_visible()
    assert kept(photo_app, photo) == []


def test_without_consent_no_byte_of_a_photo_is_stored_and_no_correction_taken(
    photo_app: RunningApp, visitor: Open, photo: Path
) -> None:
    page = visitor()
    page.goto(photo_app.url)
    send(page, photo)
    expect(page.get_by_role("checkbox", name="Keep my photos")).not_to_be_checked()
    page.get_by_role("button", name="This was wrong").click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_test_id("stAlert")).to_contain_text("Nothing is chosen yet")
    choose(page, "What does it have?", "Something else")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_test_id("stAlert")).to_contain_text("write it in a few words")
    page.get_by_label("What is it? In your own words").fill("hail")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_test_id("stAlert")).to_contain_text("tick the box")
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("button", name="This was wrong")).to_be_visible()
    assert kept(photo_app, photo) == []
    assert Store(photo_app.database).album.correction_of(owner_of(page), question_of(photo_app, page)) is None
    page.reload()
    expect(page.get_by_text("it was not kept: ask again with the photo")).to_be_visible()
    expect(page.get_by_role("button", name="This was wrong")).to_have_count(0)


def test_a_photo_is_kept_while_its_owner_wants_it_and_goes_with_the_consent(
    photo_app: RunningApp, visitor: Open, photo: Path
) -> None:
    page = visitor()
    page.goto(photo_app.url)
    send(page, photo)
    page.get_by_text("Keep my photos to improve the assistant").click()
    settled(page)
    expect(page.get_by_role("checkbox", name="Keep my photos")).to_be_checked()
    page.get_by_role("button", name="This was wrong").click()
    expect(page.get_by_text("Keep the photos of this question")).to_have_count(0)
    choose(page, "Which plant is it?", "Not a plant")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Your correction is saved: Not a plant.")).to_be_visible()
    assert len(kept(photo_app, photo)) == 1
    page.reload()
    expect(page.get_by_role("checkbox", name="Keep my photos")).to_be_checked()
    page.get_by_text("Keep my photos to improve the assistant").click()
    expect(page.get_by_text("Your photos and corrections are deleted.")).to_be_visible()
    assert kept(photo_app, photo) == []
    assert Store(photo_app.database).album.correction_of(owner_of(page), question_of(photo_app, page)) is None


def test_the_form_fits_a_phone_of_360_pixels(photo_app: RunningApp, visitor: Open, photo: Path) -> None:
    page = visitor(360, 740)
    page.goto(photo_app.url)
    send(page, photo)
    page.get_by_role("button", name="This was wrong").click()
    choose(page, "What does it have?", "Something else")
    expect(page.get_by_label("What is it? In your own words")).to_be_visible()
    wide = "Math.max(document.documentElement.scrollWidth, document.querySelector('[data-testid=stMain]').scrollWidth)"
    assert page.evaluate(wide) <= 360
