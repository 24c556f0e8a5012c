"""The photos that people let us keep, and what they say these show; a part of the store (`Store.album`).

Nothing comes in here unless its owner said yes: for all their questions (`allow`), for one (`keep`), or with a correction
(`correct`). A photo is kept once, however often it is asked about, and goes with the last question that has it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select
from sqlalchemy.orm import Session

from agri_llm.database import Transaction, insert_into, not_yours
from agri_llm.errors import BadInput
from agri_llm.photo_tables import (
    ConsentRow,
    PhotoLabelRow,
    PhotoRow,
    QuestionPhotoRow,
    label_from,
    link_values,
    photo_from,
    photo_values,
)
from agri_llm.records import OTHER, Answer, FeedbackStatus, Photo, PhotoLabel, new_id, now
from agri_llm.tables import ConversationRow, QuestionRow

LONGEST_COMMENT = 200  # characters; a condition has a name of a few words
LONGEST_LABEL = 100
ACCEPTED: tuple[FeedbackStatus, ...] = ("approved", "edited")  # what a training may learn from


class Album:
    """The photos of one installation; `labels`, `photo` and `review` are for the command, which asks nobody who they are."""

    def __init__(self, writing: Transaction, reading: Transaction, scrub: Callable[[], None]) -> None:
        """Work in the transactions of a store; `scrub` makes sure that what was deleted is in no file any more."""
        self._writing, self._reading, self._scrub = writing, reading, scrub

    def allow(self, owner: str) -> None:
        """Remember that the owner lets us keep the photos of their questions from now on."""
        values = {"id": new_id(), "owner": owner, "created_at": now()}
        with self._writing() as session:
            session.execute(insert_into(session, ConsentRow).values(values).on_conflict_do_nothing(index_elements=["owner"]))

    def is_allowed(self, owner: str) -> bool:
        """Whether the owner lets us keep the photos of all their questions."""
        with self._reading() as session:
            return _allowed(session, owner)

    def withdraw(self, owner: str) -> None:
        """Take the owner's consent back: every photo of theirs goes, with every correction."""
        with self._writing() as session:
            lock_conversations(session, owner)
            own = QuestionPhotoRow.owner == owner
            with letting_go(session, own):
                session.execute(delete(ConsentRow).where(ConsentRow.owner == owner))
                session.execute(delete(QuestionPhotoRow).where(own))
        self._scrub()

    def keep(self, owner: str, answer: Answer) -> None:
        """Keep the photos of one stored question, because its owner said so; raises NotYours."""
        with self._writing() as session:
            _lock_question(session, owner, answer.question.id)
            keep_photos(session, owner, answer)

    def drop(self, owner: str, question_id: str) -> None:
        """Delete the photos of one question, with what was said of them; raises NotYours."""
        with self._writing() as session:
            _lock_question(session, owner, question_id)
            own = QuestionPhotoRow.question_id == question_id
            with letting_go(session, own):
                session.execute(delete(QuestionPhotoRow).where(own))
        self._scrub()

    def correct(self, owner: str, answer: Answer, label: str, comment: str = "") -> None:
        """Keep the photos of a stored question, and what the owner says they show, which replaces what they said before.

        To be called only where the owner agreed that the photos are kept. It waits as new for whoever looks at corrections;
        the same said twice changes nothing. Raises BadInput and NotYours.
        """
        _check(answer, label, comment)
        with self._writing() as session:
            _lock_question(session, owner, answer.question.id)
            keep_photos(session, owner, answer)
            for link in session.scalars(_links(owner, answer.question.id)).all():
                _say(session, owner, link.id, label, comment)

    def correction_of(self, owner: str, question_id: str) -> PhotoLabel | None:
        """Return what the owner said that the photos of a question show, or None."""
        query = (
            select(PhotoLabelRow, QuestionPhotoRow)
            .join(QuestionPhotoRow, PhotoLabelRow.question_photo_id == QuestionPhotoRow.id)
            .where(PhotoLabelRow.owner == owner, QuestionPhotoRow.question_id == question_id)
            .order_by(QuestionPhotoRow.position)
        )
        with self._reading() as session:
            found = session.execute(query).first()
            return None if found is None else label_from(*found)

    def labels(self, statuses: Collection[FeedbackStatus]) -> list[PhotoLabel]:
        """Return what people said of photos, oldest first, as far as it has one of these statuses."""
        query = (
            select(PhotoLabelRow, QuestionPhotoRow)
            .join(QuestionPhotoRow, PhotoLabelRow.question_photo_id == QuestionPhotoRow.id)
            .where(PhotoLabelRow.status.in_(list(statuses)))
            .order_by(PhotoLabelRow.id)
        )
        with self._reading() as session:
            return [label_from(row, of) for row, of in session.execute(query)]

    def photo(self, sha256: str) -> Photo:
        """Return a kept photo; raises BadInput where it is gone."""
        with self._reading() as session:
            row = session.get(PhotoRow, sha256)
            if row is None:
                raise BadInput(f"The photo {sha256[:12]} is gone", "its owner deleted it", "list the corrections again")
            return photo_from(row)

    def review(self, label_id: str, status: FeedbackStatus, reviewer: str, label: str = "") -> None:
        """Accept or reject what somebody said of a photo, or put another label in its place; raises BadInput."""
        with self._writing() as session:
            row = session.get(PhotoLabelRow, label_id)
            if row is None:
                raise BadInput(f"There is no correction {label_id!r}", "nothing was changed", "list the corrections again")
            row.status, row.reviewer, row.updated_at = status, reviewer, now()
            row.label = label or row.label


def keep_photos(session: Session, owner: str, answer: Answer) -> None:
    """Keep the photos of a question that is stored already; those that are kept stay as they are."""
    moment, question = now(), answer.question
    rows = [photo_values(photo, moment) for photo in question.photos]
    for values in sorted(rows, key=lambda each: str(each["sha256"])):  # in one order, so that nobody waits for each other
        insert = insert_into(session, PhotoRow).values(values)
        # An update that changes nothing holds the row until we are done: nobody deletes it as the last one in between.
        session.execute(insert.on_conflict_do_update(index_elements=["sha256"], set_={"width": values["width"]}))
    for position, values in enumerate(rows):
        link = link_values(owner, question.id, position, values["sha256"], answer.diagnosis, moment)
        insert = insert_into(session, QuestionPhotoRow).values(link)
        session.execute(insert.on_conflict_do_nothing(index_elements=["question_id", "position"]))


def keep_allowed(session: Session, owner: str, answer: Answer) -> None:
    """Keep the photos of a question that is stored already, where the owner lets us keep those of all questions."""
    if answer.question.photos and _allowed(session, owner):
        keep_photos(session, owner, answer)


def photos_of(session: Session, questions: Sequence[str]) -> Mapping[str, tuple[Photo, ...]]:
    """Return the kept photos of questions by their ids; questions without photos are left out."""
    query = (
        select(QuestionPhotoRow.question_id, PhotoRow)
        .join(PhotoRow, QuestionPhotoRow.photo_sha256 == PhotoRow.sha256)
        .where(QuestionPhotoRow.question_id.in_(questions))
        .order_by(QuestionPhotoRow.question_id, QuestionPhotoRow.position)
    )
    found: dict[str, tuple[Photo, ...]] = {}
    for question_id, row in session.execute(query):
        found[question_id] = (*found.get(question_id, ()), photo_from(row))
    return found


def of_conversation(conversation_id: str) -> ColumnElement[bool]:
    """Say which photos a conversation has."""
    return QuestionPhotoRow.question_id.in_(select(QuestionRow.id).where(QuestionRow.conversation_id == conversation_id))


@contextmanager
def letting_go(session: Session, links: ColumnElement[bool]) -> Iterator[None]:
    """Delete, after what is done inside, the photos of these links that no question has any more.

    They are locked before, so that a question that gets one of them at this moment is waited for, or waits. Whoever calls
    this holds the conversations of the links.
    """
    linked = select(QuestionPhotoRow.photo_sha256).where(links)
    query = select(PhotoRow.sha256).where(PhotoRow.sha256.in_(linked)).order_by(PhotoRow.sha256).with_for_update()
    held = session.scalars(query).all()
    yield
    session.flush()
    needed = select(QuestionPhotoRow.id).where(QuestionPhotoRow.photo_sha256 == PhotoRow.sha256).exists()
    gone = delete(PhotoRow).where(PhotoRow.sha256.in_(held), ~needed)
    session.execute(gone, execution_options={"synchronize_session": False})


def lock_conversations(session: Session, owner: str) -> None:
    """Let nobody add to the owner's conversations until the transaction ends."""
    query = select(ConversationRow.id).where(ConversationRow.owner == owner).order_by(ConversationRow.id)
    session.execute(query.with_for_update())


def _allowed(session: Session, owner: str) -> bool:
    return session.scalar(select(ConsentRow.id).where(ConsentRow.owner == owner)) is not None


def _lock_question(session: Session, owner: str, question_id: str) -> None:
    """Hold the conversation of a question, so that it is not deleted in between; raises NotYours."""
    query = (
        select(ConversationRow.id)
        .join(QuestionRow, QuestionRow.conversation_id == ConversationRow.id)
        .where(QuestionRow.owner == owner, QuestionRow.id == question_id)
        .with_for_update(of=ConversationRow)
    )
    if session.scalar(query) is None:
        raise not_yours("question", question_id)


def _links(owner: str, question_id: str) -> Any:
    return select(QuestionPhotoRow).where(QuestionPhotoRow.owner == owner, QuestionPhotoRow.question_id == question_id)


def _check(answer: Answer, label: str, comment: str) -> None:
    if not answer.question.photos:
        raise BadInput(
            "The photos of this question were not kept",
            "a correction needs the photo",
            "ask again with the photo, then correct",
        )
    if not label.strip() or len(label) > LONGEST_LABEL or len(comment) > LONGEST_COMMENT:
        found = f"The correction has a label of {len(label)} and words of {len(comment)} characters"
        limits = f"a label has 1 to {LONGEST_LABEL}, and {LONGEST_COMMENT} characters of words are the most"
        raise BadInput(found, limits, "choose a label, and say the rest in short")
    if label.endswith(OTHER) and not comment.strip():
        raise BadInput("The correction says that it is something else", "nobody could tell what", "write what it is")


def _say(session: Session, owner: str, link_id: str, label: str, comment: str) -> None:
    """Keep what the owner says of a photo; what was accepted stays so unless they say something else."""
    moment = now()
    said = {"label": label, "comment": comment, "status": "new", "reviewer": None, "updated_at": moment}
    first = {"id": new_id(), "question_photo_id": link_id, "owner": owner, "created_at": moment}
    changed = or_(PhotoLabelRow.label != label, PhotoLabelRow.comment != comment)
    insert = insert_into(session, PhotoLabelRow).values(first | said)
    session.execute(insert.on_conflict_do_update(index_elements=["question_photo_id", "owner"], set_=said, where=changed))
