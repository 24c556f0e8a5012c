"""What the server loads by using it once, so that no visitor waits for it."""

from __future__ import annotations

import logging
import threading

from PIL import Image

from agri_llm.errors import AgriError
from ui import wiring

_LOG = logging.getLogger("agri.server")


def first_search() -> None:
    """The first search loads what later ones find loaded."""
    wiring.knowledge_base().search("maize", 1)


def first_photo() -> None:
    """The first photo loads the network: 6 s of computing, 0.4 s for the next. What fails is logged, and told on the page."""
    try:
        wiring.photo_model().diagnose([Image.new("RGB", (256, 256), "green")], with_heat=True)
    except (AgriError, OSError) as error:
        _LOG.error("%s", error)


def begin_first_photo() -> threading.Thread:
    """Look at a first photo beside everything else: questions in words are answered meanwhile."""
    thread = threading.Thread(target=first_photo, name="first-photo", daemon=True)
    thread.start()
    return thread
