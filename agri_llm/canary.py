"""Whether a candidate that answers a share of the conversations does harm, told as soon as it can be, however often one looks.

A conversation is harmed where an answer of it got a thumb down, or its advice did not work. Which conversations get the
candidate is drawn by a hash, so if it does no more harm, each harmed conversation is one of the candidate's with a chance of at
most its share, whatever people ask, how often they vote and how that changes from day to day. Against this we bet with every
harmed conversation (Ville 1939; Shafer 2021, J. R. Stat. Soc. A 184:407): the stake multiplies by the likelihood ratio of
candidates that harm more, some more and some much more. Without more harm it ever reaches 1 / ALPHA with a chance of at most
ALPHA, so it may be looked at after every vote. The order of the votes does not matter, so a late one is no trouble; one that is
changed counts as it now stands.
"""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agri_llm.errors import StoreUnavailable
from agri_llm.judgements import Promotion, adapter_name

if TYPE_CHECKING:
    from agri_llm.promotions import Promotions

ALPHA = 0.05  # how often a candidate that does no more harm may be stopped
RISKS = (1.25, 1.5, 2.0, 3.0, 5.0, 8.0)  # times as much harm as now that are betted on, with equal stakes
BY = "its own test"  # who stops a canary that harms
LOOK_SECONDS = 60.0  # how often one program looks at the votes at most
_LOG = logging.getLogger("agri.canary")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the votes say of a canary so far, in conversations; `evidence` is the stake, 1 at the begin."""

    name: str
    share: float
    voted: int
    voted_candidate: int
    harmed: int
    harmed_candidate: int
    evidence: float

    @property
    def harm_shown(self) -> bool:
        """Whether the candidate does more harm, beyond chance."""
        return self.evidence >= 1 / ALPHA

    def words(self) -> str:
        """Return the standing in one sentence."""
        counts = (
            f"{self.harmed_candidate} of the {self.harmed} harmed conversations are of {self.name}, where its share of"
            f" {self.share:.0%} would make {self.share * self.harmed:.1f} (evidence {self.evidence:.3g} of {1 / ALPHA:.0f})"
        )
        if self.harm_shown:
            return f"Harm is shown: {counts}."
        return f"No harm shown so far, {self.voted} conversations with a vote, {self.voted_candidate} of {self.name}: {counts}."


def gets_candidate(canary: Promotion, conversation: str) -> bool:
    """Tell whether a conversation is one of the canary's; always the same answer, and another draw for another canary."""
    if not conversation:
        return False
    drawn = hashlib.sha256(f"{canary.id}/{conversation}".encode()).digest()
    return int.from_bytes(drawn[:8], "big") < canary.share * 2**64


def evidence(harmed: int, of_candidate: int, share: float) -> float:
    """Return the stake after so many harmed conversations: the mean likelihood ratio over RISKS against the share."""
    ratios = []
    for risk in RISKS:
        chance = share * risk / (1 - share + share * risk)  # that a harmed conversation is one of the candidate's
        won, lost = math.log(chance / share), math.log((1 - chance) / (1 - share))
        ratios.append(math.exp(min(700.0, of_candidate * won + (harmed - of_candidate) * lost)))
    return sum(ratios) / len(ratios)


def standing(canary: Promotion, current: Promotion | None, votes: Iterable[tuple[str | None, str, bool]]) -> Standing:
    """Count (adapter, conversation, harmed), each conversation once; answers of other writers do not count."""
    candidate = _name(canary)
    sides = (candidate, _name(current) if current is not None else None)
    voted: dict[str, bool] = {}
    harmed: dict[str, bool] = {}
    for adapter, conversation, harm in votes:
        if adapter in sides:
            voted.setdefault(conversation, adapter == candidate)
            if harm:
                harmed.setdefault(conversation, adapter == candidate)
    return Standing(
        name=candidate or "the base alone",
        share=canary.share,
        voted=len(voted),
        voted_candidate=sum(voted.values()),
        harmed=len(harmed),
        harmed_candidate=sum(harmed.values()),
        evidence=evidence(len(harmed), sum(harmed.values()), canary.share),
    )


def running(promotions: Promotions) -> tuple[Promotion, Standing] | None:
    """Return the canary that runs and how it stands; None where none runs."""
    canary = promotions.canary()
    if canary is None:
        return None
    return canary, standing(canary, promotions.current(), promotions.votes_by_adapter(canary.created_at))


def settle(promotions: Promotions) -> Promotion | None:
    """Stop the canary that runs if harm is shown, and return that decision."""
    found = running(promotions)
    if found is None or not found[1].harm_shown:
        return None
    return promotions.stop_canary(BY, (found[1].words(),), only=found[0].id)


class Watch:
    """Looks at a canary now and then: after a vote, and before an answer, but only so often."""

    def __init__(self, settle: Callable[[], Promotion | None], look_seconds: float = LOOK_SECONDS) -> None:
        """`settle` stops what harms; it is called from whichever thread looks."""
        self._settle, self._look_seconds = settle, look_seconds
        self._looked_at, self._looking = float("-inf"), threading.Lock()

    def look(self) -> None:
        """Settle the canary where that is due; nobody waits for another who looks, and a database that is down stops nobody."""
        if time.monotonic() - self._looked_at < self._look_seconds or not self._looking.acquire(blocking=False):
            return
        try:
            stopped = self._settle()
            if stopped is not None:
                _LOG.warning("the canary of %s is stopped: %s", stopped.adapter, " ".join(stopped.reasons))
        except StoreUnavailable as error:
            _LOG.warning("%s", error)
        finally:
            self._looked_at = time.monotonic()
            self._looking.release()


def _name(promotion: Promotion) -> str | None:
    return adapter_name(promotion.adapter) if promotion.adapter else None
