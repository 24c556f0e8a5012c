"""The model that was promoted last writes, without a restart: a program that serves looks at the decisions now and then.

An answer that has begun is finished by the model it began with. A promotion that cannot be followed (its adapter is gone, is
not the one that was promoted, or does not fit) changes nothing: the model before it goes on, and `problem` says why.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from agri_llm.errors import AgriError, ModelMissing, StoreUnavailable
from agri_llm.judgements import Promotion
from agri_llm.language.adapters import ADAPTER_WEIGHTS, check_files
from agri_llm.language.brief import Brief
from agri_llm.language.local import LocalModel
from agri_llm.records import Message

LOOK_SECONDS = 5.0  # how long a promotion may take to be followed
_LOG = logging.getLogger("agri.writer")


class SwitchingModel:
    """A writer that follows promotions. `decided` returns the one in force; None, or one without adapter, is the base alone."""

    def __init__(self, base: LocalModel, decided: Callable[[], Promotion | None], look_seconds: float = LOOK_SECONDS) -> None:
        """Begin with the base; the first answer looks for a promotion."""
        self._base, self._decided, self._look_seconds = base, decided, look_seconds
        self._writer, self._followed = base, ""
        self._looked_at = float("-inf")
        self._looking = threading.Lock()
        self.problem = ""  # why the last promotion is not followed, "" where it is

    @property
    def name(self) -> str:
        """The name of the base."""
        return self._writer.name

    @property
    def adapter(self) -> str | None:
        """The adapter that writes now."""
        return self._writer.adapter

    def pinned(self) -> LocalModel:
        """Return who writes the next answer, from its begin to its end."""
        self._look()
        return self._writer

    def stream(self, brief: Brief) -> Iterator[str]:
        """Let the model in force write."""
        return self.pinned().stream(brief)

    def log_likelihood(self, messages: Sequence[Message], text: str) -> float:
        """Ask the model in force."""
        return self.pinned().log_likelihood(messages, text)

    def describe(self) -> dict[str, str | int | bool | None]:
        """Return one line for the doctor."""
        return {**self.pinned().describe(), **({"problem": self.problem} if self.problem else {})}

    def _look(self) -> None:
        """Follow a new decision; while one asker looks, the others go on with what is there."""
        if time.monotonic() - self._looked_at < self._look_seconds or not self._looking.acquire(blocking=False):
            return
        try:
            promotion = self._decided()
            if promotion is not None and promotion.id != self._followed:
                self._follow(promotion)
        except StoreUnavailable as error:  # people still get answers
            _LOG.warning("%s", error)
        finally:
            self._looked_at = time.monotonic()
            self._looking.release()

    def _follow(self, promotion: Promotion) -> None:
        self._followed = promotion.id  # tried once; the next decision is tried again
        try:
            if promotion.adapter:
                check(promotion)
            self._writer = self._base.with_adapter(promotion.adapter)
            self.problem = ""
            _LOG.info("%s writes the answers from now on", promotion.adapter or "the base alone")
        except AgriError as error:
            self.problem = f"The promotion of {promotion.adapter} is not followed: {error}"
            _LOG.error("%s", self.problem)


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
