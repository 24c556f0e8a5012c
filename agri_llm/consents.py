"""Whether a training may learn from what a person wrote; a part of the store (`Store.consents`).

Nobody's words are learned from unless they said yes. Who takes a yes back is left out of every later data set.
"""

from __future__ import annotations

from sqlalchemy import Select, delete, select

from agri_llm.account_tables import TrainingConsentRow
from agri_llm.database import Transaction, insert_into
from agri_llm.records import new_id, now


class Consents:
    """What people answered when asked once; `owner` is the key of a visitor."""

    def __init__(self, writing: Transaction, reading: Transaction) -> None:
        """Work in the transactions of a store."""
        self._writing, self._reading = writing, reading

    def allow(self, owner: str) -> None:
        """Remember that the owner lets a training learn from their questions, votes and words."""
        self._answer(owner, True)

    def decline(self, owner: str) -> None:
        """Remember that the owner was asked and said no."""
        self._answer(owner, False)

    def withdraw(self, owner: str) -> None:
        """Take a yes back: from now on no data set has anything of the owner's."""
        self._answer(owner, False)

    def forget(self, owner: str) -> None:
        """Forget that the owner was ever asked."""
        with self._writing() as session:
            session.execute(delete(TrainingConsentRow).where(TrainingConsentRow.owner == owner))

    def is_allowed(self, owner: str) -> bool:
        """Whether the owner said yes and did not take it back."""
        with self._reading() as session:
            return session.scalar(consenting().where(TrainingConsentRow.owner == owner)) is not None

    def asked(self, owner: str) -> bool:
        """Whether the owner ever answered the question."""
        with self._reading() as session:
            return session.scalar(select(TrainingConsentRow.id).where(TrainingConsentRow.owner == owner)) is not None

    def _answer(self, owner: str, allowed: bool) -> None:
        moment = now()
        said = {"allowed": allowed, "updated_at": moment}
        with self._writing() as session:
            first = insert_into(session, TrainingConsentRow).values(
                {"id": new_id(), "owner": owner, "created_at": moment, **said}
            )
            session.execute(first.on_conflict_do_update(index_elements=["owner"], set_=said))


def consenting() -> Select[str]:
    """Select the owners whose words a training may learn from; other parts of the store put it into their own queries."""
    return select(TrainingConsentRow.owner).where(TrainingConsentRow.allowed.is_(True))
