"""Photos that people corrected, as photos to learn from: which of them are used, and where a run finds them again.

A run writes them into its own folder before it begins, so that it can be made again and goes on with the same photos.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agri_llm.errors import BadInput
from agri_llm.photos import reception
from agri_llm.records import OTHER, PhotoLabel
from training.photo_data import TABLE, LabelledPhoto

FEWEST = 5  # photos of a label that the data do not have; of fewer, a network learns the photos and not the label
FOLDER = "corrections"  # in the folder of a run
SOURCE = "corrections"  # what `leave_out` calls them

DISAGREE = "people disagree"
IN_WORDS = "named in words only"
HELD_OUT = "also among the photos of validation or test"
TAUGHT = "also among the photos to learn from"
TOO_FEW = f"fewer than {FEWEST} photos of a new label"


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The labels of the photos to learn from by their hashes, and how many were left out for which reason."""

    used: Mapping[str, str]
    left_out: Mapping[str, int]

    def described(self) -> str:
        """Return how many are used and how many are not, and why, on one line."""
        reasons = "; ".join(f"{count} {reason}" for reason, count in self.left_out.items())
        left = f"{sum(self.left_out.values())} left out" + (f" ({reasons})" if reasons else "")
        return f"Corrected photos: {len(self.used)} used, {left}."


def choose(said: Sequence[PhotoLabel], photos: Sequence[LabelledPhoto]) -> Chosen:
    """Choose from accepted corrections what may be learned beside these photos.

    What is among the photos already is left out: the model is judged by those of validation and test, so none of them may be
    learned, neither as the file lies there nor as it is after somebody sent it in.
    """
    labels: dict[str, set[str]] = {}
    for each in said:
        labels.setdefault(each.sha256, set()).add(each.label)
    tested = _hashes([photo for photo in photos if photo.split != "train"], sent_in=True) if labels else set()
    taught = _hashes([photo for photo in photos if photo.split == "train"], sent_in=False) if labels else set()
    left: Counter[str] = Counter()
    fit: dict[str, str] = {}
    for sha256, given in sorted(labels.items()):
        why = _reason(sha256, given, tested, taught)
        if why:
            left[why] += 1
        else:
            (fit[sha256],) = given
    return _without_rare(fit, {photo.label for photo in photos}, left)


def _reason(sha256: str, given: Collection[str], tested: Collection[str], taught: Collection[str]) -> str:
    """Say why a photo is left out; "" where it may be used."""
    if sha256 in tested:
        return HELD_OUT
    if sha256 in taught:
        return TAUGHT
    if len(given) > 1:
        return DISAGREE
    return IN_WORDS if next(iter(given)).endswith(OTHER) else ""


def _without_rare(fit: Mapping[str, str], known: Collection[str], left: Counter[str]) -> Chosen:
    """Leave out the labels that the data do not have and few photos have, by name."""
    counts = Counter(fit.values())
    rare = sorted(label for label, count in counts.items() if label not in known and count < FEWEST)
    if rare:
        left[f"{TOO_FEW}: {', '.join(rare)}"] = sum(counts[label] for label in rare)
    return Chosen(used={sha256: label for sha256, label in fit.items() if label not in rare}, left_out=dict(left))


def _hashes(photos: Sequence[LabelledPhoto], *, sent_in: bool) -> set[str]:
    """Return the hashes of files, and of what becomes of them when somebody sends them in."""
    found = set()
    for photo in photos:
        data = photo.path.read_bytes()
        found.add(hashlib.sha256(data).hexdigest())
        if sent_in:
            try:
                found.add(reception.receive(data).sha256)
            except BadInput:  # so small or damaged that nobody could have sent it
                continue
    return found


def write(run: Path, chosen: Chosen, content: Callable[[str], bytes]) -> None:
    """Write the photos with a table of their hashes and labels into the folder of a run; all of them, or nothing."""
    unfinished = run / f"{FOLDER}.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    with (unfinished / TABLE).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "label", "split", "domain", "source"])
        for sha256, label in chosen.used.items():
            (unfinished / f"{sha256}.jpg").write_bytes(content(sha256))
            table.writerow([f"{sha256}.jpg", label, "train", "field", SOURCE])
    unfinished.rename(run / FOLDER)


def is_written(run: Path) -> bool:
    """Whether a run has its corrections already. Raises BadInput where it began without them."""
    if (run / FOLDER).is_dir():
        return True
    if (run / "steps").is_dir() or (run / "model").is_dir():
        raise BadInput(
            f"The run in {run} began without corrected photos",
            "it would go on with other photos",
            "give another folder as --out",
        )
    return False
