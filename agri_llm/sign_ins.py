"""Who is signed in with which browser, and how often somebody tried; steps inside a transaction of `Accounts`.

A browser keeps a random token, the database its SHA-256: who reads the database is not signed in. The page cannot set a
cookie, so it sends the browser away with a ticket that is good for a minute, once, and in that browser only.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from agri_llm.account_tables import AccountRow, SignInRow, TriesRow
from agri_llm.database import insert_into
from agri_llm.records import new_id, now

KEPT = timedelta(days=30)
TICKET_KEPT = timedelta(seconds=60)
FREE_TRIES = 5  # everybody mistypes
LONGEST_WAIT_SECONDS = 900  # 96 tries a day at most; NIST SP 800-63B allows 100 in a row
TRIES_KEPT = timedelta(days=1)


def new_secret() -> str:
    """Return 256 random bits as text that fits into an address or a cookie."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """Return the SHA-256 of a secret in hex; a random secret needs no slower hash."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def begin(session: Session, account_id: str) -> str:
    """Sign somebody in and return the token."""
    moment, token = now(), new_secret()
    session.execute(delete(SignInRow).where(SignInRow.expires_at <= moment))
    row = SignInRow(id=new_id(), account_id=account_id, token_sha256=digest(token), created_at=moment, expires_at=moment + KEPT)
    session.add(row)
    return token


def account_of(session: Session, token: str) -> AccountRow | None:
    """Return the active account that a token belongs to, or None."""
    query = (
        select(AccountRow)
        .join(SignInRow, SignInRow.account_id == AccountRow.id)
        .where(SignInRow.token_sha256 == digest(token), SignInRow.expires_at > now(), AccountRow.active.is_(True))
    )
    return session.scalar(query)


def end(session: Session, token: str) -> None:
    """Sign one browser out."""
    session.execute(delete(SignInRow).where(SignInRow.token_sha256 == digest(token)))


def end_all(session: Session, account_id: str) -> None:
    """Sign somebody out everywhere."""
    session.execute(delete(SignInRow).where(SignInRow.account_id == account_id))


def ticket_for(session: Session, token: str, browser: str) -> str:
    """Return a ticket with which the browser whose key is `browser` gets its own token, once, within a minute."""
    ticket = new_secret()
    change = update(SignInRow).where(SignInRow.token_sha256 == digest(token))
    session.execute(change.values(ticket_sha256=digest(f"{ticket} {browser}"), ticket_expires_at=now() + TICKET_KEPT))
    return ticket


def redeem(session: Session, ticket: str, browser: str) -> str | None:
    """Return a new token in the place of the one before it, or None for a ticket that is used, too old, or of another."""
    token = new_secret()
    change = (
        update(SignInRow)
        .where(SignInRow.ticket_sha256 == digest(f"{ticket} {browser}"), SignInRow.ticket_expires_at > now())
        .values(token_sha256=digest(token), ticket_sha256=None, ticket_expires_at=None)
        .returning(SignInRow.id)
    )
    return None if session.scalar(change) is None else token


def count_try(session: Session, name_key: str, moment: datetime) -> int:
    """Count one more try for a name, known or not, and return how many seconds it still has to wait; 0 lets it through.

    A try that has to wait is not counted. Trying by many threads at once gains nothing: the row is held until we are done.
    """
    session.execute(delete(TriesRow).where(TriesRow.last_at < moment - TRIES_KEPT))
    key = digest(name_key)
    first = insert_into(session, TriesRow).values({"name_sha256": key, "tries": 0, "last_at": moment})
    session.execute(first.on_conflict_do_nothing(index_elements=["name_sha256"]))
    row = session.scalars(select(TriesRow).where(TriesRow.name_sha256 == key).with_for_update()).one()
    over = row.tries - FREE_TRIES
    wait = min(2 ** min(over + 1, 20), LONGEST_WAIT_SECONDS) if over >= 0 else 0
    left = row.last_at + timedelta(seconds=wait) - moment
    if wait and left > timedelta(0):
        return max(1, round(left.total_seconds()))
    row.tries, row.last_at = row.tries + 1, moment
    return 0


def forget_tries(session: Session, name_key: str) -> None:
    """Begin to count anew, because the password was right or is a new one."""
    session.execute(delete(TriesRow).where(TriesRow.name_sha256 == digest(name_key)))
