"""Names that strangers gave to files, as they may stand in a message."""

from __future__ import annotations

import re

# What turns the reading direction round or cannot be seen; in a name it hides what the name really is.
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def shown(name: str) -> str:
    """Return a name as it may stand in a message: signs that nobody sees are written out, like "\\u202e"."""
    return _INVISIBLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), name)
