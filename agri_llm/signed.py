"""Answers that an expert vouches for until a date; a part of the store (`Store.signed`).

A signed answer is a copy that belongs to its signer. It keeps the question without the place, so it tells nothing of a farm.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import regex
from sqlalchemy import select
from sqlalchemy.orm import Session

from agri_llm import review_checks
from agri_llm.account_tables import AccountRow
from agri_llm.accounts import require
from agri_llm.database import Transaction
from agri_llm.errors import BadInput
from agri_llm.judgements import SignedAnswer
from agri_llm.records import Answer, Citation, Question, new_id, now
from agri_llm.review_tables import SignedRow
from agri_llm.reviews import held
from agri_llm.tables import QuestionRow, answer_from, answer_row, passage_from

LONGEST = timedelta(days=731)  # two years, one of them a leap year: labels and registrations of pesticides change
Check = Callable[[Answer], Sequence[str]]  # the sentences of an answer that its passages do not carry
_MARKS = regex.compile(r"[[\p{P}\p{S}]--[%‰+<>=°]](?!\d)", regex.V1)  # before a digit a mark may be a point or a minus
_SPACE_IN_CHINESE = regex.compile(r"(?<=\p{Han})\s+|\s+(?=\p{Han})")


class Signed:
    """Signed answers; the account that acts is looked up at each action."""

    def __init__(self, writing: Transaction, reading: Transaction) -> None:
        """Work in the transactions of a store."""
        self._writing, self._reading = writing, reading

    def sign(
        self,
        by: str,
        answer_id: str,
        text: str,
        crop: str | None,
        region: str | None,
        expires_at: datetime,
        *,
        check: Check,
    ) -> SignedAnswer:
        """Keep `text` as the answer to the question of a stored answer, in place of an earlier one of this signer.

        `check` names the sentences that may not be served (`Assistant.unsupported`). Raises NotAllowed, BadInput.
        """
        moment = now()
        if expires_at.tzinfo is None:
            raise BadInput(f"{expires_at:%Y-%m-%d %H:%M} has no time zone", "nobody knows when it ends", "give one, like UTC")
        if not moment < expires_at <= moment + LONGEST:
            raise BadInput(f"{expires_at:%Y-%m-%d} is no date to sign until", "it must lie within two years", "choose another")
        review_checks.length("signed text", text, review_checks.LONGEST_CORRECTION)
        for what, name in (("crop", crop), ("region", region)):
            review_checks.length(what, name or "", review_checks.LONGEST_NAME)
        with self._writing() as session:
            name = require(session, by, "agronomist").name
            row = held(session, answer_id, by)
            asked = session.get_one(QuestionRow, row.question_id)
            answer = _with_text(answer_from(row, asked), text)
            refused = check(answer)
            if refused or not text.strip():
                found = f"This is not carried by the cited passages: {' '.join(refused)[:300] or 'an empty text'}"
                raise BadInput(found, "nobody can check it", "keep to what they say, or leave it out")
            return _kept(session, _row(by, answer_id, answer, crop, region, expires_at), name)

    def withdraw(self, by: str, its_id: str) -> None:
        """Serve a signed answer no more; its signer may, and every other expert too. Raises NotAllowed, BadInput."""
        with self._writing() as session:
            require(session, by, "agronomist")
            row = session.get(SignedRow, its_id)
            if row is None:
                raise BadInput("There is no such signed answer", "nothing was withdrawn", "look at the list again")
            row.withdrawn_at = row.withdrawn_at or now()

    def serving(self, question: Question, now: datetime) -> SignedAnswer | None:
        """Return the newest answer signed for this question, crop and region that still holds, or None.

        Whoever signed must still have an open account.
        """
        query = (
            select(SignedRow, AccountRow.name)
            .join(AccountRow, AccountRow.id == SignedRow.signer)
            .where(SignedRow.asked == asked_hash(question.text), AccountRow.active.is_(True))
            .where(SignedRow.withdrawn_at.is_(None), SignedRow.expires_at > now)
            .order_by(SignedRow.id.desc())
        )
        with self._reading() as session:
            for row, name in session.execute(query):
                if fits(question, row.crop, row.region):
                    return signed_from(row, name)
        return None

    def all(self, by: str) -> list[SignedAnswer]:
        """Return every signed answer, the newest first, also those that no longer hold. Raises NotAllowed."""
        with self._reading() as session:
            require(session, by, "agronomist")
            return of(session)


def normal(text: str) -> str:
    """Return a text without regard to case, space, punctuation and width: "WEEVILS ?" is "weevils"; numbers keep theirs."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    words = " ".join(_MARKS.sub(" ", folded).split())
    return str(_SPACE_IN_CHINESE.sub("", words))


def asked_hash(text: str) -> str:
    """Return the hash under which a question is found."""
    return hashlib.sha256(normal(text).encode("utf-8", "replace")).hexdigest()


def fits(question: Question, crop: str | None, region: str | None) -> bool:
    """Whether a question is about this crop and region; one that was left open fits every question."""
    if crop and normal(crop) != normal(question.crop or ""):
        return False
    places = regex.split(r"[,，;；/]", question.place or "")
    return not region or normal(region) in {normal(place) for place in (*places, question.place or "")}


def of(session: Session, *where: Any) -> list[SignedAnswer]:
    """Return signed answers for which `where` holds, the newest first."""
    query = select(SignedRow, AccountRow.name).join(AccountRow, AccountRow.id == SignedRow.signer).where(*where)
    return [signed_from(row, name) for row, name in session.execute(query.order_by(SignedRow.id.desc()))]


def signed_from(row: SignedRow, name: str) -> SignedAnswer:
    """Return a signed answer as a record; its question has text, language and crop alone."""
    passages = {stored["id"]: passage_from(stored) for stored in row.passages}
    answer = Answer(
        id=row.id,
        question=Question(id=row.id, text=row.question["text"], language=row.question["language"], crop=row.crop),
        kind="advice",
        text=row.text,
        citations=tuple(_citation(cited, passages) for cited in row.citations),
        passages=tuple(passages.values()),
        signed_by=name,
        signed_until=row.expires_at,
    )
    return SignedAnswer(
        id=row.id,
        answer=answer,
        signer=row.signer,
        signer_name=name,
        expires_at=row.expires_at,
        crop=row.crop,
        region=row.region,
        withdrawn_at=row.withdrawn_at,
        created_at=row.created_at,
    )


def _citation(cited: Mapping[str, Any], passages: Mapping[str, Any]) -> Citation:
    return Citation(number=cited["number"], passage=passages[cited["passage_id"]], quote=cited["quote"])


def _with_text(answer: Answer, text: str) -> Answer:
    """Keep the citations that the text still names."""
    kept = tuple(each for each in answer.citations if f"[{each.number}]" in text)
    return Answer(question=answer.question, kind="advice", text=text, citations=kept)


def _kept(session: Session, row: SignedRow, name: str) -> SignedAnswer:
    """Add a signed answer in place of earlier ones; what was sent twice is kept once."""
    earlier = select(SignedRow).where(SignedRow.answer_id == row.answer_id, SignedRow.signer == row.signer)
    for before in session.scalars(earlier.where(SignedRow.withdrawn_at.is_(None))):
        if all(getattr(before, each) == getattr(row, each) for each in ("text", "crop", "region", "expires_at")):
            return signed_from(before, name)
        before.withdrawn_at = row.created_at
    session.add(row)
    session.flush()
    return signed_from(row, name)


def _row(by: str, source: str, answer: Answer, crop: str | None, region: str | None, expires_at: datetime) -> SignedRow:
    moment = now()
    stored = answer_row("", answer, moment)  # for its JSON alone
    return SignedRow(
        id=new_id(),
        answer_id=source,
        signer=by,
        asked=asked_hash(answer.question.text),
        question={"text": answer.question.text, "language": answer.question.language},
        text=answer.text,
        citations=stored.citations,
        passages=stored.passages,
        crop=(crop or "").strip() or None,
        region=(region or "").strip() or None,
        expires_at=expires_at,
        withdrawn_at=None,
        created_at=moment,
    )
