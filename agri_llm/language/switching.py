"""The model that was promoted last writes, without a restart: a program that serves looks at the decisions now and then.

While a canary runs, a share of the conversations gets its candidate; both are loaded. An answer that has begun is finished by
the model it began with. A decision that cannot be followed (its adapter is gone, is not the one that was promoted, or does not
fit) changes nothing: the model before it goes on, and `problem` says why.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from agri_llm.canary import gets_candidate
from agri_llm.errors import AgriError, ModelMissing, StoreUnavailable
from agri_llm.judgements import Promotion
from agri_llm.language.adapters import ADAPTER_WEIGHTS, check_files
from agri_llm.language.brief import Brief
from agri_llm.language.local import LocalModel
from agri_llm.records import Message

LOOK_SECONDS = 5.0  # how long a promotion may take to be followed
_LOG = logging.getLogger("agri.writer")


class SwitchingModel:
    """A writer that follows promotions. `decided` returns the one in force; None, or one without adapter, is the base alone.

    `canary` returns the canary that runs, or None.
    """

    def __init__(
        self,
        base: LocalModel,
        decided: Callable[[], Promotion | None],
        look_seconds: float = LOOK_SECONDS,
        *,
        canary: Callable[[], Promotion | None] = lambda: None,
    ) -> None:
        """Begin with the base; the first answer looks for a promotion, and for a canary that runs."""
        self._base, self._decided, self._running, self._look_seconds = base, decided, canary, look_seconds
        self._writer, self._followed = base, ""
        self._canary: tuple[Promotion, LocalModel | None] | None = None  # the one that runs; None: it cannot be loaded
        self._looked_at = float("-inf")
        self._looking = threading.Lock()
        self._problems: dict[str, str] = {}  # why the last promotion, or canary, is not followed

    @property
    def problem(self) -> str:
        """Why a decision is not followed, "" where all are."""
        return " ".join(self._problems.values())

    @property
    def name(self) -> str:
        """The name of the base."""
        return self._writer.name

    @property
    def adapter(self) -> str | None:
        """The adapter that writes now."""
        return self._writer.adapter

    def pinned(self, conversation: str = "") -> LocalModel:
        """Return who writes the next answer of a conversation, from its begin to its end."""
        self._look()
        canary, candidate = self._canary or (None, None)
        return candidate if candidate and canary and gets_candidate(canary, conversation) else self._writer

    def stream(self, brief: Brief) -> Iterator[str]:
        """Let the model in force write."""
        return self.pinned(brief.question.conversation).stream(brief)

    def log_likelihood(self, messages: Sequence[Message], text: str) -> float:
        """Ask the model in force."""
        return self.pinned().log_likelihood(messages, text)

    def describe(self) -> dict[str, str | int | bool | None]:
        """Return one line for the doctor."""
        told = self.pinned().describe()
        canary, candidate = self._canary or (None, None)
        if canary and candidate:
            told["canary"] = f"{candidate.adapter} for {canary.share:.0%} of the conversations"
        return {**told, **({"problem": self.problem} if self.problem else {})}

    def _look(self) -> None:
        """Follow new decisions; while one asker looks, the others go on with what is there."""
        if time.monotonic() - self._looked_at < self._look_seconds or not self._looking.acquire(blocking=False):
            return
        try:
            promotion, canary = self._decided(), self._running()
            if promotion is not None and promotion.id != self._followed:
                self._follow(promotion)
            if (canary.id if canary else "") != (self._canary[0].id if self._canary else ""):
                self._try_out(canary)
        except StoreUnavailable as error:  # people still get answers
            _LOG.warning("%s", error)
        finally:
            self._looked_at = time.monotonic()
            self._looking.release()

    def _follow(self, promotion: Promotion) -> None:
        self._followed = promotion.id  # tried once; the next decision is tried again
        found = self._loaded(promotion, "promotion")
        if found is not None:
            self._writer = found
            _LOG.info("%s writes the answers from now on", promotion.adapter or "the base alone")

    def _try_out(self, canary: Promotion | None) -> None:
        """Let a candidate begin, or end; the one in use goes on for the others in any case."""
        self._problems.pop("canary", None)
        self._canary = None if canary is None else (canary, self._loaded(canary, "canary"))

    def _loaded(self, promotion: Promotion, kind: str) -> LocalModel | None:
        """Return a writer with the adapter of a decision; None, with the problem, where it cannot be had."""
        try:
            if promotion.adapter:
                check(promotion)
            found = self._base.with_adapter(promotion.adapter)
        except AgriError as error:
            self._problems[kind] = f"The {kind} of {promotion.adapter} is not followed: {error}"
            _LOG.error("%s", self._problems[kind])
            return None
        self._problems.pop(kind, None)
        return found


def check(promotion: Promotion) -> None:
    """Raise ModelMissing where the adapter of a promotion is gone, or is not the one that was promoted."""
    check_files(str(promotion.adapter))
    if promotion.sha256:
        with (Path(str(promotion.adapter)) / ADAPTER_WEIGHTS).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != promotion.sha256:
            raise ModelMissing(
                f"the weights in {promotion.adapter} are not those that were promoted",
                "nothing shows that they are better or safe",
                "copy the adapter of the run again, or go back with `agri promote OLD`",
            )
