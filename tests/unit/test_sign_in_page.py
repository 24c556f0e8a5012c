"""Signing in, the page of accounts, consent and outcomes without a browser; the browser test does the same with real clicks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest
from test_page import TOMATO, Script, ask, owner, page, script, shown

from agri_llm import passwords
from agri_llm.errors import NotAllowed
from agri_llm.judgements import Account, Role
from agri_llm.records import now
from agri_llm.store import Store
from ui import session, visitors, votes, wiring
from ui.commands.accounts import first_address
from ui.session_cookie import session_cookie

__all__ = ["script"]
SECRET = "maize after beans"


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._of_nobody.cache_clear()


@pytest.fixture
def amina(script: Script) -> Account:
    """The administrator of an installation."""
    return wiring.store().accounts.accept(wiring.store().accounts.first_link() or "", "Amina", SECRET)


def colleague(amina: Account, name: str = "Boris", role: Role = "agronomist") -> Account:
    return wiring.store().accounts.accept(wiring.store().accounts.invite(amina.id, role), name, SECRET)


def of(module: str, name: str = "Amina") -> AppTest:
    """One page alone, opened by somebody who is signed in."""

    def only(module: str) -> None:
        from importlib import import_module

        import_module(module).show()

    app = AppTest.from_function(only, kwargs={"module": module}, default_timeout=30)
    app.session_state["passing_session"] = wiring.store().accounts.sign_in(name, SECRET)[1]
    return app.run()


def pages(app: AppTest) -> str:
    return " ".join(str(each.value) for each in (*app.sidebar.caption, *app.title))


# Signing in


def test_a_guest_has_the_chat_and_no_menu(script: Script) -> None:
    app = page()
    assert app.title[0].value == "Agri"
    assert "agronomist" not in pages(app)
    assert not app.exception


def test_a_one_time_link_makes_an_account_and_signs_it_in(script: Script) -> None:
    code = wiring.store().accounts.first_link() or ""
    app = page(code=code)
    assert "administrator" in shown(app)
    app.text_input(key="accept-name").set_value("Amina")
    app.text_input(key="accept-password").set_value(SECRET)
    app.text_input(key="accept-again").set_value("something else")
    app.button[-1].click().run()
    assert "not the same" in shown(app)
    app.text_input(key="accept-again").set_value(SECRET)
    app.button[-1].click().run()
    assert "Amina, administrator" in pages(app)
    assert app.title[0].value == "Agri"
    assert "code" not in app.query_params
    assert [each.name for each in wiring.store().accounts.listed()] == ["Amina"]
    assert "does not work" in shown(page(code=code))


def test_a_link_with_a_short_password_says_so_and_still_works(script: Script) -> None:
    app = page(code=wiring.store().accounts.first_link() or "")
    for key, value in (("accept-name", "Amina"), ("accept-password", "short"), ("accept-again", "short")):
        app.text_input(key=key).set_value(value)
    app.button[-1].click().run()
    assert "5 characters" in shown(app).replace("\\", "")
    assert wiring.store().accounts.first_link() is not None


def sign_in(app: AppTest, name: str, password: str) -> AppTest:
    app.text_input(key="sign-in-name").set_value(name)
    app.text_input(key="sign-in-password").set_value(password)
    return app.button[0].click().run()


def test_a_wrong_name_and_a_wrong_password_look_alike_and_the_right_one_gets_in(amina: Account) -> None:
    def only() -> None:
        from ui import sign_in

        sign_in.show()

    app = AppTest.from_function(only, default_timeout=30).run()
    first = sign_in(app, "Nobody", SECRET).error[0].value
    assert sign_in(app, "Amina", "wrong").error[0].value == first
    sign_in(app, "amina", SECRET)
    assert "Amina, administrator" in shown(app)


def test_signing_out_ends_the_session_in_the_store(amina: Account) -> None:
    app = of("ui.sign_in")
    token = str(app.session_state["passing_session"])
    app.button(key="sign-out").click().run()
    assert wiring.store().accounts.signed_in(token) is None
    assert app.title[0].value == "Sign in"


def test_another_password_ends_other_sessions_and_keeps_this_one(amina: Account) -> None:
    other = wiring.store().accounts.sign_in("Amina", SECRET)[1]
    app = of("ui.sign_in")
    for key, value in (
        ("password-now", SECRET),
        ("password-new", "beans after maize"),
        ("password-again", "beans after maize"),
    ):
        app.text_input(key=key).set_value(value)
    app.button[-1].click().run()
    assert wiring.store().accounts.signed_in(other) is None
    assert wiring.store().accounts.signed_in(str(app.session_state["passing_session"])) == amina


def test_whoever_is_closed_while_signed_in_is_told_so_at_the_next_click(amina: Account) -> None:
    boris = colleague(amina)
    app = AppTest.from_file(str(wiring.__file__).replace("wiring.py", "app.py"), default_timeout=30)
    app.session_state["passing_session"] = wiring.store().accounts.sign_in("Boris", SECRET)[1]
    assert "Boris, agronomist" in pages(app.run())
    wiring.store().accounts.deactivate(amina.id, boris.id)
    app.run()
    assert "no longer signed in" in app.warning[0].value
    assert "Boris" not in pages(app)
    app.button(key="session-over").click().run()
    assert not app.warning


# The page of accounts


def test_the_administrator_invites_and_the_link_is_shown_once(amina: Account) -> None:
    app = of("ui.accounts_page")
    app.text_input(key="invite-name").set_value("Boris")
    app.button[0].click().run()
    [link] = [each.value for each in app.code]
    code = link.split("code=")[1]
    assert wiring.store().accounts.invitation(code) == ("invitation", "agronomist", "Boris")
    app.run()
    assert not app.code


def test_roles_and_closing_are_one_click_and_the_last_administrator_stays(amina: Account) -> None:
    boris = colleague(amina)
    app = of("ui.accounts_page")
    app.selectbox(key=f"role-{boris.id}").select("administrator").run()
    assert {each.role for each in wiring.store().accounts.listed()} == {"administrator"}
    app.selectbox(key=f"role-{boris.id}").select("agronomist").run()
    app.button(key=f"account_close-{boris.id}").click().run()
    assert [each.active for each in wiring.store().accounts.everyone(amina.id)] == [True, False]
    app.button(key=f"account_open-{boris.id}").click().run()
    app.selectbox(key=f"role-{amina.id}").select("agronomist").run()
    assert "last administrator" in shown(app)
    assert app.selectbox(key=f"role-{amina.id}").value == "administrator"
    app.button(key=f"account_reset-{boris.id}").click().run()
    assert wiring.store().accounts.invitation(app.code[0].value.split("code=")[1]) == ("reset", "agronomist", "Boris")


def test_an_agronomist_who_opens_the_page_of_accounts_sees_nothing_of_it(amina: Account) -> None:
    colleague(amina)
    app = of("ui.accounts_page", "Boris")
    assert app.exception
    assert "agronomist" in app.exception[0].message
    assert "Amina" not in shown(app)


def test_the_page_asks_for_a_role_that_the_store_confirms(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "account", lambda: None)
    with pytest.raises(NotAllowed, match="not signed in"):
        session.require()
    monkeypatch.setattr(session, "account", lambda: Account(name="B", role="agronomist"))
    assert session.require("agronomist").name == "B"
    with pytest.raises(NotAllowed, match="agronomist"):
        session.require("administrator")


# The cookie


@pytest.fixture
def server(amina: Account) -> Callable[..., TestClient]:
    inner = Starlette(
        routes=[Route("/", lambda _: session_cookie(_)), Route(session.ADDRESS, session_cookie)],
        middleware=[Middleware(visitors.VisitorCookie)],
    )
    return lambda base="http://localhost": TestClient(inner, base_url=base, follow_redirects=False)


def ticket(client: TestClient) -> str:
    """Let a browser come to the page, and sign it in."""
    client.get("/")
    browser = visitors.key_in(client.cookies[visitors.COOKIE]) or ""
    return wiring.store().accounts.hand_over(wiring.store().accounts.sign_in("Amina", SECRET)[1], browser)


@pytest.mark.parametrize(("base", "secure"), [("http://localhost", False), ("https://farm.example", True)])
def test_a_ticket_becomes_a_cookie_that_no_script_reads(server: Callable[..., TestClient], base: str, secure: bool) -> None:
    client = server(base)
    reply = client.get(session.ADDRESS, params={"ticket": ticket(client), "lang": "zh"})
    assert (reply.status_code, reply.headers["location"]) == (303, "/?lang=zh")
    assert reply.headers["cache-control"] == "no-store"
    cookie = reply.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=lax", "Path=/", f"Max-Age={30 * 24 * 3600}"):
        assert part in cookie
    assert ("Secure" in cookie) == secure
    assert wiring.store().accounts.signed_in(client.cookies[session.COOKIE]) is not None


def test_a_ticket_of_another_browser_or_used_twice_gives_no_cookie(server: Callable[..., TestClient]) -> None:
    mine, theirs = server(), server()
    made = ticket(mine)
    theirs.get("/")
    assert "set-cookie" not in theirs.get(session.ADDRESS, params={"ticket": made}).headers
    assert "set-cookie" in mine.get(session.ADDRESS, params={"ticket": made}).headers
    assert "set-cookie" not in server().get(session.ADDRESS, params={"ticket": made}).headers
    assert mine.get(session.ADDRESS, params={"lang": "//evil.example"}).headers["location"] == "/"


def test_a_cookie_is_taken_away_only_when_its_session_is_over(server: Callable[..., TestClient]) -> None:
    client = server()
    client.get(session.ADDRESS, params={"ticket": ticket(client)})
    assert "set-cookie" not in client.get(session.ADDRESS).headers  # nobody is signed out by a link
    wiring.store().accounts.sign_out(client.cookies[session.COOKIE])
    client.get(session.ADDRESS)
    assert session.COOKIE not in client.cookies


def test_the_first_link_leads_to_the_public_address(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (first_address(wiring.settings()) or "").startswith("http://localhost:8501/?code=")
    monkeypatch.setenv("AGRI_PUBLIC_HOST", "farm.example")
    wiring.settings.cache_clear()
    assert (first_address(wiring.settings()) or "").startswith("https://farm.example/?code=")


# Consent and outcomes


def test_consent_is_asked_once_and_can_be_taken_back(script: Script) -> None:
    app = ask(page(), TOMATO)
    consents, visitor = wiring.store().consents, owner(app)
    [yes] = [button for button in app.button if str(button.key).startswith("training_yes")]
    assert not consents.asked(visitor)
    yes.click().run()
    assert consents.is_allowed(visitor)
    assert "Your data" in shown(app)
    ask(app, "How do I control early blight of tomato in wet weather?")
    assert not [button for button in app.button if str(button.key).startswith("training_yes")]
    app.checkbox(key="training-allowed").uncheck().run()
    assert (consents.asked(visitor), consents.is_allowed(visitor)) == (True, False)
    app.checkbox(key="training-allowed").check().run()
    assert consents.is_allowed(visitor)


def test_a_no_is_kept_and_not_asked_again(script: Script) -> None:
    app = ask(page(), TOMATO)
    [no] = [button for button in app.button if str(button.key).startswith("training_no")]
    no.click().run()
    assert (wiring.store().consents.asked(owner(app)), wiring.store().consents.is_allowed(owner(app))) == (True, False)
    assert not [button for button in app.button if str(button.key).startswith("training_no")]


def test_every_reason_for_a_thumb_down_has_a_word(script: Script) -> None:
    wanted = {"wrong", "unsafe", "not_my_place", "too_long", "hard_to_understand", "source_differs", "missing", "other"}
    assert set(votes.REASONS["down"]) == wanted


@pytest.mark.parametrize(
    ("click", "kept"), [("outcome-worked", "worked"), ("outcome-failed", "failed"), ("outcome-skip", None)]
)
def test_days_later_the_chat_asks_whether_it_worked_once(
    script: Script, monkeypatch: pytest.MonkeyPatch, click: str, kept: str | None
) -> None:
    from ui import outcome_question

    app = ask(page(), TOMATO)
    assert not [button for button in app.button if str(button.key).startswith("outcome")]
    monkeypatch.setattr(outcome_question, "now", lambda: now() + timedelta(days=6))
    later = AppTest.from_file(str(wiring.__file__).replace("wiring.py", "app.py"), default_timeout=30)
    later.session_state["passing_visitor"] = owner(app)
    later.run()
    assert "How do I control early blight of tomato" in shown(later).replace("\\", "")
    later.button(key=click).click().run()
    assert not [button for button in later.button if str(button.key).startswith("outcome")]
    [talk] = wiring.store().conversations(owner(app))
    [answer] = wiring.store().turns(owner(app), talk.id)
    outcome = wiring.store().outcome_of(owner(app), answer.id)
    assert (outcome.result if outcome else None) == kept
    assert wiring.store().awaiting_outcome(owner(app), now() + timedelta(days=6)) is None


def test_a_store_that_does_not_answer_leaves_the_chat_as_it_was(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Store("postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setattr(wiring, "store", lambda: broken)
    app = page()
    assert app.title[0].value == "Agri"
    assert not app.exception
    assert not [box for box in app.checkbox if box.key == "training-allowed"]
