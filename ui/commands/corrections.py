"""Corrected photos for `agri train`: to look at, to accept or reject, and to learn from.

Whoever may run the command decides what is accepted. When people have roles, a correction by an expert counts without this.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from agri_llm.album import ACCEPTED
from agri_llm.errors import BadInput
from agri_llm.records import FeedbackStatus, PhotoLabel
from ui import wiring

if TYPE_CHECKING:
    from training.photo_config import PhotoConfig

ALL: tuple[FeedbackStatus, ...] = get_args(FeedbackStatus)


def gather(config: PhotoConfig) -> str:
    """Write the accepted corrections into the folder of a run; return how many are used and how many not, on one line.

    A run that has some already keeps them. Raises BadInput where it began without.
    """
    from training import corrections, photo_data

    if corrections.is_written(config.out):
        used = len(photo_data.read(config.out / corrections.FOLDER))
        return f"Corrected photos: {used} used, those with which this run began."
    album = wiring.store().album
    chosen = corrections.choose(album.labels(ACCEPTED), photo_data.read(config.data))
    corrections.write(config.out, chosen, lambda sha256: album.photo(sha256).data)
    return chosen.described()


def listed(folder: Path | None) -> Iterator[str]:
    """Yield a line for each correction, oldest first; the photos are written into `folder`, named by the id of the line."""
    album = wiring.store().album
    for each in album.labels(ALL):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{each.id}.jpg").write_bytes(album.photo(each.sha256).data)
        yield _line(each)


def decide(approve: Sequence[str], reject: Sequence[str], label: str) -> int:
    """Accept corrections, with another label where one is given, and reject others; return how many. Raises BadInput."""
    if label and len(approve) != 1:
        raise BadInput("A label was given", "it replaces that of one accepted correction", "give one --approve with it")
    album, reviewer = wiring.store().album, getpass.getuser()
    for label_id in approve:
        album.review(label_id, "edited" if label else "approved", reviewer, label)
    for label_id in reject:
        album.review(label_id, "rejected", reviewer)
    return len(approve) + len(reject)


def _line(said: PhotoLabel) -> str:
    words = f" ({' '.join(said.comment.split())})" if said.comment else ""
    return f"{said.id}  {said.created_at:%Y-%m-%d}  {said.status:<8}  {said.seen or 'nothing'} → {said.label}{words}"
