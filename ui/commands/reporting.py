"""What a person reads when the command meets an error nobody expected: one sentence, and a log with the rest."""

from __future__ import annotations

import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

from agri_llm.errors import AgriError


def sentence(error: Exception) -> str:
    """Write the traceback to a log and return one sentence that says where it is."""
    place = _logged(error)
    if isinstance(error, OSError) and error.strerror:  # a full disk, a folder without rights: nothing to report to us
        named = f"{error.filename}: " if error.filename else ""
        return f"{named}{error.strerror.lower()}; correct that and try again (details in {place})."
    return f"Something failed that should not ({type(error).__name__}); please report it with the log in {place}."


def _logged(error: Exception) -> Path:
    name = f"error-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.log"
    text = "".join(traceback.format_exception(error))
    try:
        return _written(_home() / "logs" / name, text)
    except OSError:
        return _written(Path(tempfile.mkdtemp(prefix="agri-logs-")) / name, text)


def _home() -> Path:
    from ui import wiring

    try:
        return wiring.settings().home
    except AgriError:
        return Path(tempfile.gettempdir())


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)  # a traceback may hold what somebody asked
    return path
