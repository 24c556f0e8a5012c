"""From the one-time link in the terminal to a closed account, in two real browsers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from running_app import RunningApp, missing

from agri_llm.store import Store

try:
    from playwright.sync_api import Page, expect
except ImportError:
    missing("Playwright is not installed: run `make setup` to test the page in a browser.")

expect.set_options(timeout=20_000)
Open = Callable[..., Page]
SECRET = "maize after beans"


def picture(page: Page, name: str) -> None:
    """Keep a screenshot where somebody wants to look at it."""
    folder = os.environ.get("AGRI_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def accept(page: Page, link: str, name: str) -> None:
    page.goto(link)
    page.get_by_label("Name").fill(name)
    page.get_by_label("New password").fill(SECRET)
    page.get_by_label("The same password again").fill(SECRET)
    picture(page, f"link-{name}")
    page.get_by_role("button", name="Save and sign in").click()


@pytest.fixture
def first_link(app: RunningApp) -> str:
    """What `agri accounts link` prints."""
    store = Store(app.database)
    code = store.accounts.first_link()
    store.close()
    return f"{app.url}/?code={code}"


def test_from_the_link_in_the_terminal_to_a_closed_account(app: RunningApp, visitor: Open, first_link: str) -> None:
    amina, boris = visitor(), visitor()
    accept(amina, first_link, "Amina")
    expect(amina.get_by_text("Amina, administrator")).to_be_visible()
    expect(amina.get_by_test_id("stChatInputTextArea")).to_be_visible()
    assert "code" not in amina.url
    [cookie] = [each for each in amina.context.cookies() if each["name"] == "agri_session"]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (True, "Lax", False)
    picture(amina, "chat-administrator")

    amina.get_by_role("link", name="Accounts").click()
    amina.get_by_label("Name of the person").fill("Boris")
    amina.get_by_role("button", name="Make an invitation link").click()
    link = amina.get_by_test_id("stCode").inner_text().strip()
    assert link.startswith(app.url)
    picture(amina, "accounts-invited")

    accept(boris, link, "Boris")
    expect(boris.get_by_text("Boris, agronomist")).to_be_visible()
    expect(boris.get_by_role("link", name="Accounts")).to_have_count(0)
    boris.reload()
    expect(boris.get_by_text("Boris, agronomist")).to_be_visible()
    boris.get_by_role("link", name="Your account").click()
    boris.get_by_role("button", name="Sign out").click()
    expect(boris.get_by_role("link", name="Sign in")).to_be_visible()
    assert "agri_session" not in {each["name"] for each in boris.context.cookies()}

    boris.get_by_role("link", name="Sign in").click()
    boris.get_by_label("Name").fill("BORIS")
    boris.get_by_label("Password", exact=True).fill("not the password")
    boris.get_by_test_id("stFormSubmitButton").get_by_role("button").click()
    expect(boris.get_by_text("do not fit")).to_be_visible()
    picture(boris, "sign-in-wrong")
    boris.get_by_label("Password", exact=True).fill(SECRET)
    boris.get_by_test_id("stFormSubmitButton").get_by_role("button").click()
    expect(boris.get_by_text("Boris, agronomist")).to_be_visible()

    boris.get_by_text("中文").click()
    boris.get_by_role("link", name="您的账户").click()  # the language stays on the next page
    expect(boris.get_by_role("button", name="退出登录")).to_be_visible()
    picture(boris, "account-zh")
    boris.get_by_text("English").click()
    boris.get_by_role("link", name="Chat").click()

    amina.reload()
    amina.get_by_role("button", name="Close account").last.click()
    expect(amina.get_by_text("Boris: closed")).to_be_visible()
    picture(amina, "accounts-closed")
    boris.get_by_role("button", name="New chat").click()
    expect(boris.get_by_text("You are no longer signed in")).to_be_visible()
    picture(boris, "closed")
    boris.get_by_role("button", name="Go on").click()
    expect(boris.get_by_role("link", name="Sign in")).to_be_visible()
    expect(boris.get_by_text("You are no longer signed in")).to_have_count(0)


def test_a_yes_below_an_answer_ticks_the_box_of_your_data_and_unticking_is_kept(app: RunningApp, visitor: Open) -> None:
    page = visitor()
    page.goto(app.url)
    page.get_by_role("button", name="My tomato leaves have brown spots").click()
    page.get_by_role("button", name="Yes, use them").click()
    expect(page.get_by_text("You can take it back")).to_be_visible()
    page.get_by_text("Your data", exact=True).click()
    box = page.get_by_role("checkbox", name="Use my questions and votes")
    expect(box).to_be_checked()
    page.get_by_text("Use my questions and votes").click()
    expect(box).not_to_be_checked()
    page.reload()
    page.get_by_text("Your data", exact=True).click()
    expect(box).not_to_be_checked()
    expect(page.get_by_role("button", name="Yes, use them")).to_have_count(0)


def test_a_page_for_administrators_shows_a_guest_nothing(app: RunningApp, visitor: Open) -> None:
    page = visitor()
    page.goto(f"{app.url}/accounts")
    expect(page.get_by_test_id("stApp")).to_be_visible()
    page.wait_for_timeout(2000)
    expect(page.get_by_text("Make an invitation link")).to_have_count(0)
