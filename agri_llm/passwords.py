"""Passwords: what may be one, and their argon2id hashes with the parameters that the library recommends (RFC 9106)."""

from __future__ import annotations

import unicodedata
from functools import cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from agri_llm.errors import BadInput

SHORTEST, LONGEST = 12, 1000  # characters; length is what counts, kinds of characters are not asked for (NIST SP 800-63B)
_HASHER = PasswordHasher()
_AT_ONCE = BoundedSemaphore(4)  # one hash takes 64 MiB: many people who sign in at once wait for each other


def check(password: str) -> None:
    """Raise BadInput for a password that is too short to protect, or too long to be one."""
    length = len(_plain(password))
    if not SHORTEST <= length <= LONGEST:
        raise BadInput(
            f"The password has {length} characters",
            f"one of {SHORTEST} to {LONGEST} is needed",
            "take a sentence that only you would write",
        )


def hashed(password: str) -> str:
    """Return the hash to keep, with its own salt; raises BadInput for what may not be a password."""
    check(password)
    with _AT_ONCE:
        return _HASHER.hash(_plain(password))


def matches(kept: str | None, password: str) -> bool:
    """Whether this is the password of the hash `kept`; without one the answer is no, and takes as long."""
    with _AT_ONCE:
        try:
            right = _HASHER.verify(kept or _of_nobody(), _plain(password)[: LONGEST + 1])
        except (VerificationError, InvalidHashError):
            return False
    return right and kept is not None


def outdated(kept: str) -> bool:
    """Whether a newer release hashes with other parameters, so that the password should be hashed anew."""
    return _HASHER.check_needs_rehash(kept)


@cache
def _of_nobody() -> str:
    return _HASHER.hash("the password of nobody")


def _plain(password: str) -> str:
    """The same letters typed on another keyboard are the same password (NIST SP 800-63B: NFKC)."""
    return unicodedata.normalize("NFKC", password)
