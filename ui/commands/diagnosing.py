"""Looks at photos for `agri diagnose`: single files, or all photos of a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from agri_llm.errors import BadInput
from agri_llm.photos.files import SUFFIXES

if TYPE_CHECKING:
    from PIL import Image

    from agri_llm.records import Diagnosis, Photo

Looked = tuple[str, "Diagnosis | BadInput"]  # the path as it was given, and what came of it


class Look(Protocol):
    """Says what photos of one plant show; `ui.wiring.diagnosis` is one."""

    def __call__(self, photos: Sequence[Image.Image], *, crop: str | None = None) -> Diagnosis:
        """Look at photos of a crop, or of any."""


def files_in(folder: Path) -> list[Path]:
    """Return the photos in a folder and those below it, by name. Raises BadInput where there are none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise BadInput(
            f"{folder} holds no photos", "there is nothing to look at", f"name a folder with {', '.join(SUFFIXES)} files"
        )
    return found


def each(look: Look, paths: Sequence[Path], crop: str | None) -> Iterator[Looked]:
    """Yield what every photo seems to show, one after another; a file that is no photo is an error, not the end."""
    from agri_llm.photos import reception

    for path in paths:
        try:
            photo = reception.image(reception.receive(_content(path), path.name))
        except BadInput as error:
            yield str(path), error
        else:
            yield str(path), look([photo], crop=crop)


def received(paths: Sequence[Path]) -> tuple[Photo, ...]:
    """Take in the photos of one question. Raises BadInput for one that cannot be used, or for more than six."""
    from agri_llm.photos import reception

    return reception.receive_all([(_content(path), path.name) for path in paths])


def _content(path: Path) -> bytes:
    """Return what a file holds, no more than a photo can have."""
    from agri_llm.photos.reception import MAX_BYTES

    if path.is_dir():
        raise BadInput(f"{path} is a folder", "here go photos", "give --batch FOLDER")
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror})", "there is nothing to look at", "check the name") from error


def as_json(path: str, found: Diagnosis) -> dict[str, Any]:
    """Return a diagnosis as `agri diagnose --json` prints it; `seen` is there where a second model looked."""
    line: dict[str, Any] = {
        "file": path,
        "label": found.label,
        "confidence": round(found.confidence, 4),
        "certain": found.certain,
        "scope": found.scope,
        "scope_score": round(found.scope_score, 4),
        "alternatives": [{"label": label, "confidence": round(share, 4)} for label, share in found.alternatives],
        "affected_area_percent": found.affected_area_percent,
        "quality": found.quality,
    }
    if found.seen is not None:
        line["seen"] = {"text": found.seen.text, "questions": list(found.seen.questions), "label": found.seen.fits or None}
    return line


def as_text(path: str, found: Diagnosis) -> str:
    """Return a diagnosis on one line for people."""
    sure = "certain" if found.certain else "not certain"
    state = {"in": sure, "unknown_plant": "not a plant or problem I know", "not_a_plant": "no plant"}[found.scope]
    if found.quality != "good":
        state = f"take another photo: {found.quality.replace('_', ' ')}"
    area = "" if found.affected_area_percent is None else f", {found.affected_area_percent:g} % of the leaf discoloured"
    other = "" if found.seen is None or found.seen.fits == found.label else f", a second model says {found.seen.fits or 'none'}"
    return f"{path}: {found.label} {found.confidence:.0%} ({state}{area}{other})"
