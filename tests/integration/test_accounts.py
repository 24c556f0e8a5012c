"""Accounts on real databases: who gets in, who does not, and what happens when two do something at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import text
from test_store import inside, rows

from agri_llm import account_links, accounts, passwords, sign_ins
from agri_llm.errors import AgriError, BadInput, NotAllowed
from agri_llm.judgements import Account, Role
from agri_llm.records import now
from agri_llm.store import Store

SECRET = "maize after beans"


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes of the same kind that take a millisecond; the real parameters have a test of their own."""
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._of_nobody.cache_clear()


def administrator(store: Store, name: str = "Amina") -> Account:
    code = store.accounts.first_link()
    assert code is not None
    return store.accounts.accept(code, name, SECRET)


def invited(store: Store, by: Account, name: str, role: Role = "agronomist") -> Account:
    return store.accounts.accept(store.accounts.invite(by.id, role), name, SECRET)


def at_once(*acts: Callable[[], object]) -> list[object]:
    """Do things at the same time; return what each gave, or its error."""

    def caught(act: Callable[[], object]) -> object:
        try:
            return act()
        except AgriError as error:
            return error

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(caught, acts))


# Links


def test_the_first_link_makes_an_administrator_and_then_there_is_none_any_more(store: Store) -> None:
    amina = administrator(store)
    assert (amina.name, amina.role, amina.active) == ("Amina", "administrator", True)
    assert store.accounts.first_link() is None


def test_a_new_first_link_replaces_the_unused_one(store: Store) -> None:
    old = store.accounts.first_link()
    new = store.accounts.first_link()
    assert old
    assert new
    with pytest.raises(BadInput, match="does not work"):
        store.accounts.accept(old, "Eve", SECRET)
    assert store.accounts.invitation(old) is None
    assert store.accounts.invitation(new) == ("first", "administrator", "")
    assert store.accounts.accept(new, "Amina", SECRET).role == "administrator"


def test_a_link_works_once_and_for_a_week(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    amina = administrator(store)
    code = store.accounts.invite(amina.id, "agronomist", "Boris")
    assert store.accounts.invitation(code) == ("invitation", "agronomist", "Boris")
    store.accounts.accept(code, "Boris", SECRET)
    with pytest.raises(BadInput, match="does not work"):
        store.accounts.accept(code, "Boris again", SECRET)
    late = store.accounts.invite(amina.id, "agronomist")
    monkeypatch.setattr(account_links, "now", lambda: now() + timedelta(days=7, seconds=1))
    assert store.accounts.invitation(late) is None
    with pytest.raises(BadInput, match="older than a week"):
        store.accounts.accept(late, "Chen", SECRET)


def test_a_link_survives_a_name_that_is_taken_and_a_short_password(store: Store) -> None:
    amina = administrator(store)
    code = store.accounts.invite(amina.id, "agronomist")
    with pytest.raises(BadInput, match="taken"):
        store.accounts.accept(code, " ＡＭＩＮＡ ", SECRET)
    with pytest.raises(BadInput, match="11 characters"):
        store.accounts.accept(code, "Boris", "elevenchars")
    with pytest.raises(BadInput, match="1 to 80"):
        store.accounts.accept(code, "\u200b \n", SECRET)
    assert store.accounts.accept(code, "Boris", "twelve chars").name == "Boris"


def test_codes_tokens_and_passwords_are_nowhere_in_the_database(store: Store, database_url: str) -> None:
    first = store.accounts.first_link() or ""
    code = store.accounts.invite(store.accounts.accept(first, "Amina", SECRET).id, "agronomist")
    _, token = store.accounts.sign_in("Amina", SECRET)
    ticket = store.accounts.hand_over(token, "browser")
    kept = ""
    with inside(database_url) as connection:
        for table in ("accounts", "account_links", "sign_ins", "sign_in_tries"):
            kept += str(connection.execute(text(f"SELECT * FROM {table}")).all())
    assert "$argon2id$" in kept
    for secret in (first, code, token, ticket, SECRET):
        assert secret not in kept


def test_two_people_who_use_one_link_at_once_make_one_account(store: Store) -> None:
    amina = administrator(store)
    for number in range(5):
        code = store.accounts.invite(amina.id, "agronomist")
        found = at_once(
            lambda code=code, number=number: store.accounts.accept(code, f"Boris {number}", SECRET),  # type: ignore[misc]
            lambda code=code, number=number: store.accounts.accept(code, f"Chen {number}", SECRET),  # type: ignore[misc]
        )
        assert sorted(type(each).__name__ for each in found) == ["Account", "BadInput"]
    assert len(store.accounts.everyone(amina.id)) == 6


def test_two_first_administrators_at_once_are_one(store: Store) -> None:
    def come_in(name: str) -> Account | None:
        code = store.accounts.first_link()
        return None if code is None else store.accounts.accept(code, name, SECRET)

    at_once(*(lambda name=name: come_in(name) for name in ("Amina", "Boris", "Chen", "Devi")))  # type: ignore[misc]
    code = store.accounts.first_link()
    if code is not None:  # each replaced the link of the one before it, so perhaps nobody came in; never two
        store.accounts.accept(code, "Esi", SECRET)
    assert [each.role for each in store.accounts.listed()] == ["administrator"]


def test_two_people_who_take_one_name_at_once_get_one_sentence(store: Store) -> None:
    amina = administrator(store)
    codes = [store.accounts.invite(amina.id, "agronomist") for _ in range(2)]
    found = at_once(*(lambda code=code: store.accounts.accept(code, "Boris", SECRET) for code in codes))  # type: ignore[misc]
    [refused] = [each for each in found if isinstance(each, AgriError)]
    assert "taken" in str(refused)


# Signing in


def test_signing_in_disregards_case_and_width_of_the_name_but_not_of_the_password(store: Store) -> None:
    amina = administrator(store, "Amina Yılmaz")
    account, token = store.accounts.sign_in("ＡＭＩＮＡ  Yılmaz", SECRET)
    assert account == amina
    assert store.accounts.signed_in(token) == amina
    with pytest.raises(NotAllowed):
        store.accounts.sign_in("Amina Yılmaz", SECRET.upper())


def test_a_wrong_name_and_a_wrong_password_get_one_sentence(store: Store) -> None:
    administrator(store)
    sentences = set()
    for name, password in (("Amina", "not the password"), ("Nobody", SECRET), ("", ""), ("x" * 10_000, "y" * 100_000)):
        with pytest.raises(NotAllowed) as refused:
            store.accounts.sign_in(name, password)
        sentences.add(str(refused.value))
    assert len(sentences) == 1


@pytest.mark.parametrize("name", ["Amina", "Nobody"])
def test_wrong_tries_have_to_wait_longer_and_longer(store: Store, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    administrator(store)
    moment = now()
    monkeypatch.setattr(accounts, "now", lambda: moment)
    for _ in range(5):
        with pytest.raises(NotAllowed, match="do not fit"):
            store.accounts.sign_in(name, "wrong")
    waits = []
    for _ in range(12):
        with pytest.raises(NotAllowed, match="wait") as refused:
            store.accounts.sign_in(name, SECRET)
        waits.append(int(str(refused.value).split("wait ")[1].split(" ")[0]))
        moment += timedelta(seconds=waits[-1])
        with pytest.raises(NotAllowed, match="do not fit"):
            store.accounts.sign_in(name, "wrong")
    assert waits[:4] == [2, 4, 8, 16]
    assert waits[-1] == sign_ins.LONGEST_WAIT_SECONDS
    if name == "Amina":
        moment += timedelta(seconds=sign_ins.LONGEST_WAIT_SECONDS)
        store.accounts.sign_in(name, SECRET)
        with pytest.raises(NotAllowed, match="do not fit"):  # the count begins anew
            store.accounts.sign_in(name, "wrong")


def test_guessing_by_many_threads_gains_no_tries(store: Store) -> None:
    administrator(store)
    found = at_once(*(lambda: store.accounts.sign_in("Amina", "wrong") for _ in range(16)))
    assert sum("do not fit" in str(each) for each in found) == sign_ins.FREE_TRIES


def test_a_token_ends_with_signing_out_and_after_thirty_days(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    administrator(store)
    _, one = store.accounts.sign_in("Amina", SECRET)
    _, other = store.accounts.sign_in("Amina", SECRET)
    store.accounts.sign_out(one)
    assert store.accounts.signed_in(one) is None
    assert store.accounts.signed_in(other) is not None
    assert store.accounts.signed_in("") is None
    monkeypatch.setattr(sign_ins, "now", lambda: now() + timedelta(days=30, seconds=1))
    assert store.accounts.signed_in(other) is None


def test_a_ticket_is_good_once_in_its_own_browser_for_a_minute(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    administrator(store)
    _, token = store.accounts.sign_in("Amina", SECRET)
    ticket = store.accounts.hand_over(token, "her browser")
    assert store.accounts.take_over(ticket, "another browser") is None
    found = at_once(*(lambda: store.accounts.take_over(ticket, "her browser") for _ in range(4)))
    [cookie] = [each for each in found if each is not None]
    assert store.accounts.signed_in(str(cookie)) is not None
    assert store.accounts.signed_in(token) is None
    late = store.accounts.hand_over(str(cookie), "her browser")
    monkeypatch.setattr(sign_ins, "now", lambda: now() + timedelta(seconds=61))
    assert store.accounts.take_over(late, "her browser") is None


def test_another_password_signs_out_everywhere(store: Store) -> None:
    amina = administrator(store)
    tokens = [store.accounts.sign_in("Amina", SECRET)[1] for _ in range(2)]
    with pytest.raises(NotAllowed, match="present password"):
        store.accounts.change_password(amina.id, "wrong", "beans after maize")
    with pytest.raises(BadInput, match="5 characters"):
        store.accounts.change_password(amina.id, SECRET, "short")
    store.accounts.change_password(amina.id, SECRET, "beans after maize")
    assert [store.accounts.signed_in(token) for token in tokens] == [None, None]
    with pytest.raises(NotAllowed):
        store.accounts.sign_in("Amina", SECRET)
    store.accounts.sign_in("Amina", "beans after maize")


def test_a_new_password_by_link_keeps_the_account_and_ends_its_sign_ins(store: Store) -> None:
    amina = administrator(store)
    boris = invited(store, amina, "Boris")
    _, token = store.accounts.sign_in("Boris", SECRET)
    old = store.accounts.reset_link(amina.id, boris.id)
    code = store.accounts.reset_link(amina.id, boris.id)
    with pytest.raises(BadInput):
        store.accounts.accept(old, "", "lost and found again")
    assert store.accounts.accept(code, "", "lost and found again") == boris
    assert store.accounts.signed_in(token) is None
    assert store.accounts.sign_in("Boris", "lost and found again")[0] == boris


def test_a_hash_with_older_parameters_is_renewed_when_its_owner_signs_in(
    store: Store, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    administrator(store)
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    with pytest.raises(NotAllowed):
        store.accounts.sign_in("Amina", "wrong")
    with inside(database_url) as connection:
        assert "m=8,t=1" in connection.execute(text("SELECT password FROM accounts")).scalar_one()
    store.accounts.sign_in("Amina", SECRET)
    with inside(database_url) as connection:
        assert "m=16,t=2" in connection.execute(text("SELECT password FROM accounts")).scalar_one()
    store.accounts.sign_in("Amina", SECRET)


def test_the_real_hashes_have_the_parameters_that_argon2_recommends() -> None:
    code = "from agri_llm import passwords; print(passwords.hashed('maize after beans'))"
    kept = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


# Roles


def forbidden(store: Store, amina: Account) -> dict[str, Callable[[str], Any]]:
    """Everything that only an administrator does."""
    return {
        "invite": lambda by: store.accounts.invite(by, "administrator"),
        "reset_link": lambda by: store.accounts.reset_link(by, amina.id),
        "everyone": store.accounts.everyone,
        "set_role": lambda by: store.accounts.set_role(by, by, "administrator"),
        "deactivate": lambda by: store.accounts.deactivate(by, amina.id),
        "activate": lambda by: store.accounts.activate(by, by),
    }


def test_only_an_administrator_does_what_administrators_do(store: Store) -> None:
    amina = administrator(store)
    boris, closed = invited(store, amina, "Boris"), invited(store, amina, "Closed", "administrator")
    store.accounts.deactivate(amina.id, closed.id)
    before = store.accounts.listed()
    for stranger in (boris.id, closed.id, "visitor:key", "", "Amina", "%"):
        for name, act in forbidden(store, amina).items():
            with pytest.raises(NotAllowed):
                act(stranger)
            assert store.accounts.listed() == before, name


def test_every_action_in_somebodys_name_is_tried_by_strangers() -> None:
    acting = {name for name, act in vars(accounts.Accounts).items() if callable(act) and "by" in act.__code__.co_varnames[:2]}
    tried = {"invite", "reset_link", "everyone", "set_role", "deactivate", "activate"}
    assert acting - tried == {"change_password"}  # everybody's own


def test_a_role_that_is_lost_is_lost_at_the_next_action_and_its_links_with_it(store: Store) -> None:
    amina = administrator(store)
    boris = invited(store, amina, "Boris", "administrator")
    _, token = store.accounts.sign_in("Boris", SECRET)
    code = store.accounts.invite(boris.id, "administrator")
    store.accounts.set_role(amina.id, boris.id, "agronomist")
    with pytest.raises(NotAllowed, match="agronomist"):
        store.accounts.everyone(boris.id)
    with pytest.raises(BadInput, match="does not work"):
        store.accounts.accept(code, "Eve", SECRET)
    found = store.accounts.signed_in(token)
    assert found is not None
    assert found.role == "agronomist"


def test_a_closed_account_is_signed_out_and_stays_out_until_it_is_opened(store: Store) -> None:
    amina = administrator(store)
    boris = invited(store, amina, "Boris")
    _, token = store.accounts.sign_in("Boris", SECRET)
    code = store.accounts.reset_link(amina.id, boris.id)
    store.accounts.deactivate(amina.id, boris.id)
    assert store.accounts.signed_in(token) is None
    with pytest.raises(NotAllowed, match="closed"):
        store.accounts.sign_in("Boris", SECRET)
    with pytest.raises(BadInput):
        store.accounts.accept(code, "", "another password")
    assert [each.active for each in store.accounts.everyone(amina.id)] == [True, False]
    store.accounts.activate(amina.id, boris.id)
    assert store.accounts.signed_in(token) is None
    store.accounts.sign_in("Boris", SECRET)


def test_the_last_administrator_stays(store: Store) -> None:
    amina = administrator(store)
    for act in (
        lambda: store.accounts.deactivate(amina.id, amina.id),
        lambda: store.accounts.set_role(amina.id, amina.id, "agronomist"),
    ):
        with pytest.raises(BadInput, match="last administrator"):
            act()
    boris = invited(store, amina, "Boris", "administrator")
    store.accounts.deactivate(amina.id, amina.id)
    with pytest.raises(BadInput, match="last administrator"):
        store.accounts.set_role(boris.id, boris.id, "agronomist")


def test_the_last_two_administrators_who_demote_each_other_leave_one(store: Store) -> None:
    amina = administrator(store)
    boris = invited(store, amina, "Boris", "administrator")
    for _ in range(5):
        at_once(
            lambda: store.accounts.set_role(amina.id, boris.id, "agronomist"),
            lambda: store.accounts.deactivate(boris.id, amina.id),
        )
        [left] = [each for each in store.accounts.listed() if each.role == "administrator" and each.active]
        for each in (amina, boris):
            store.accounts.activate(left.id, each.id)
            store.accounts.set_role(left.id, each.id, "administrator")


def test_an_account_that_never_was_is_told_so(store: Store, database_url: str) -> None:
    amina = administrator(store)
    with pytest.raises(BadInput, match="no such account"):
        store.accounts.set_role(amina.id, "gone", "agronomist")
    assert rows(database_url, "accounts") == 1


def test_a_link_for_a_new_password_that_lay_about_does_not_outlive_a_change_of_the_password(store: Store) -> None:
    amina = administrator(store)
    code = store.accounts.reset_link(amina.id, amina.id)
    store.accounts.change_password(amina.id, SECRET, "beans after maize")
    with pytest.raises(BadInput, match="does not work"):
        store.accounts.accept(code, "", "whatever else it is")
    assert store.accounts.sign_in("Amina", "beans after maize")[0].id == amina.id
