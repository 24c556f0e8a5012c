"""One-time links: a random code that somebody gets once, of which the database knows the hash; steps inside a transaction."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from agri_llm.account_tables import LinkKind, LinkRow
from agri_llm.judgements import Role
from agri_llm.records import new_id, now
from agri_llm.sign_ins import digest, new_secret

KEPT = timedelta(days=7)


def add(
    session: Session, kind: LinkKind, role: Role, *, name: str = "", by: str | None = None, account_id: str | None = None
) -> str:
    """Keep a new link and return its code; links that are too old go."""
    moment, code = now(), new_secret()
    session.execute(delete(LinkRow).where(LinkRow.expires_at <= moment))
    values = {"id": new_id(), "code_sha256": digest(code), "created_at": moment, "expires_at": moment + KEPT}
    session.add(LinkRow(**values, kind=kind, role=role, name=name, account_id=account_id, invited_by=by))
    return code


def find(session: Session, code: str, hold: bool = False) -> LinkRow | None:
    """Return the link of a code, or None where it no longer works; `hold` lets nobody else use it until we are done."""
    query = select(LinkRow).where(LinkRow.code_sha256 == digest(code), LinkRow.expires_at > now())
    return session.scalar(query.with_for_update() if hold else query)
