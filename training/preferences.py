"""From what people said to preference data: an immutable folder that can be made again, with or without one person.

raw.jsonl                what it was made from; people are hashes, places no finer than a region
pairs/    train, validation, test .jsonl and manifest.json    prompt, chosen, rejected       for DPO and the reward model
single/   the same                                            prompt, completion, label      for KTO
chats/    the same                                            messages                       for instruction tuning
retrieval.jsonl          question, passage, supports
card.md                  the counts for people
manifest.json            written last: rules, code, counts of everything left out, hash of every file
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from agri_llm import personal
from agri_llm.errors import BadInput
from agri_llm.judgements import Material
from agri_llm.prompts import PROMPT_HASH
from knowledge_base import shipped
from training import contamination, examined, material_file, pair_cleaning, pair_rules, pair_sides, preference_card, rows
from training.contamination import Contamination
from training.library import Library
from training.pair_cleaning import Rules
from training.pair_rules import Draft, Drafts
from training.rows import MANIFEST, SPLITS, file_hash, files_hash, identity, write_whole

RAW, CARD, PAIRS, SINGLE, CHATS, RETRIEVAL = "raw.jsonl", "card.md", "pairs", "single", "chats", "retrieval.jsonl"
PARTS = (PAIRS, SINGLE, CHATS)
MAKERS = ("as_taught", "material_file", "pair_cleaning", "pair_rules", "pair_sides", "places", "preference_card", "preferences")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A finished folder of preference data. `returned` are corrections for their experts, with the reason."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def hash(self) -> str:
        """What names the data: the hash of all its files."""
        return str(self.manifest["hash"])

    @property
    def returned(self) -> tuple[Mapping[str, str], ...]:
        """Corrections that fail the check: answer, rater, id, reason."""
        return tuple(self.manifest["returned"])

    def rows(self, part: str) -> Mapping[str, int]:
        """How many rows a part has on each side."""
        found: Mapping[str, int] = self.manifest["rows"][part]
        return found


def build(material: Material, folder: Path, rules: Rules, tell: Callable[[str], object] = lambda _: None) -> Snapshot:
    """Make the preference data of a material in a new folder; the same material and rules give the same bytes.

    Raises BadInput where the folder is taken or there is nothing to learn from.
    """
    if folder.exists() and any(folder.iterdir()):
        raise BadInput(f"{folder} holds something already", "a snapshot is never changed", "name a new folder")
    material = material_file.without_names(material, rules.salt)
    if not (material.votes or material.reviews or material.comparisons or material.outcomes or material.signed):
        raise BadInput(
            "nobody whose answers may be used said anything yet", "there is nothing to learn from", "collect ratings first"
        )
    made = Made.of(material, rules)
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    material_file.write(part / RAW, material)
    compared = bool(contamination.files_of(rules.evaluation))
    counted = {name: write_part(part / name, made.rows[name], compared=compared) for name in PARTS}
    rows.write_json(part / RETRIEVAL, made.retrieval)
    write_whole(part / CARD, preference_card.text(made, counted))
    write_whole(
        part / MANIFEST, json.dumps(_manifest(part, material, rules, made, counted), ensure_ascii=False, indent=1) + "\n"
    )
    if folder.exists():
        folder.rmdir()
    part.rename(folder)
    snapshot = read(folder)
    for line in summary(snapshot):
        tell(line)
    return snapshot


@dataclass(frozen=True, kw_only=True)
class Made:
    """Everything a snapshot holds, cleaned, before it is written."""

    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    retrieval: Sequence[Mapping[str, Any]]
    returned: Sequence[Mapping[str, str]]
    counts: Counter[str]
    longer_wins: Mapping[str, Mapping[str, float | None]]

    @classmethod
    def of(cls, material: Material, rules: Rules) -> Made:
        """Clean what the material teaches and put each row on its side. Raises BadInput where an overlap remains."""
        found = pair_rules.drafts(material, rules.margin)
        counts = found.counts
        _examined_apart(found, examined_sections(rules.evaluation))
        known = Contamination(contamination.files_of(rules.evaluation))
        pairs = pair_cleaning.teachable(pair_cleaning.adjudicated(found.pairs, counts), counts)
        pairs = pair_sides.unrepeated(pair_cleaning.without_ties(pairs, rules.near, counts), rules, counts)
        pairs = pair_cleaning.capped(pair_cleaning.uncontaminated(pairs, known, counts, "pairs"), rules, counts)
        before = pair_cleaning.longer_wins(pairs)
        pairs = pair_cleaning.length_balanced(pairs, rules, counts)
        single = pair_cleaning.settled([*found.single, *_halves(pairs)], counts)
        single = pair_cleaning.uncontaminated(single, known, counts, "single answers")
        single = pair_sides.apart(single, rules, counts, "single answers")
        chats = pair_cleaning.uncontaminated(_first_of_each(found, counts), known, counts, "chats")
        chats = pair_sides.apart(chats, rules, counts, "chats")
        made = {
            PAIRS: [_pair(draft, rules) for draft in pairs],
            SINGLE: [_single(draft, rules) for draft in single],
            CHATS: [_chat(draft, rules) for draft in chats],
        }
        for each in (*pairs, *single, *chats):
            untested(each, known)
        return cls(
            rows={name: sorted(found, key=lambda row: str(row["id"])) for name, found in made.items()},
            retrieval=sorted(found.retrieval, key=lambda row: json.dumps(row, sort_keys=True)),
            returned=sorted(found.returned, key=lambda row: row["id"]),
            counts=+counts,
            longer_wins={"before": before, "after": pair_cleaning.longer_wins(pairs)},
        )


@cache
def examined_sections(evaluation: tuple[str, ...]) -> frozenset[str]:
    """Return the passages of our sheets that the evaluation asks about."""
    library = Library.of(shipped.sheets(), ("en", "zh"))
    return examined.passages(contamination.files_of(evaluation), library.documents.values())


def _examined_apart(found: Drafts, sections: frozenset[str]) -> None:
    """Mark the questions of which any answer cites such a section: all that was said of them is for the test side."""
    everything = (*found.pairs, *found.single, *found.chats)
    marked = {draft.group for draft in everything if sections & set(draft.cited)}

    def moved(drafts: list[Draft]) -> list[Draft]:
        return [dataclasses.replace(one, group=one.group + examined.MARK) if one.group in marked else one for one in drafts]

    found.pairs, found.single, found.chats = moved(found.pairs), moved(found.single), moved(found.chats)
    found.counts["questions for the test side, because evaluation asks about their sections"] = len(marked)


def untested(draft: Draft, known: Contamination) -> None:
    """Raise BadInput where something that is about to be written repeats an evaluation case: the last look of all."""
    for text in filter(None, (draft.chosen, draft.rejected)):
        overlap = known.overlap(pair_cleaning.row_of(dataclasses.replace(draft, chosen=text), "train"))
        if overlap is not None:
            raise BadInput(
                f"what was said in {', '.join(draft.ids)} repeats {overlap.case} {overlap.words!r} after all was cleaned",
                "a model that learns it is not tested by that case any more",
                "take these words out of the file, and report it",
            )


def _halves(pairs: Iterable[Draft]) -> list[Draft]:
    """The better and the worse text of each pair, each by itself: KTO learns from them too."""
    return [
        dataclasses.replace(pair, chosen=text, rejected="", good=good, margin=0.0)
        for pair in pairs
        for text, good in ((pair.chosen, True), (pair.rejected, False))
    ]


def _first_of_each(found: Drafts, counts: Counter[str]) -> list[Draft]:
    """One chat for each question: of several corrections the one that most raters wrote, then the first."""
    best: dict[str, Draft] = {}
    for draft in sorted(found.chats, key=lambda draft: (draft.source != "signed", draft.ids)):
        counts["chats on a question that has one already"] += draft.group in best
        best.setdefault(draft.group, draft)
    return list(best.values())


def _row(draft: Draft, rules: Rules) -> dict[str, Any]:
    return {
        "id": identity("preference", draft.group, draft.source, draft.chosen, draft.rejected, *draft.ids),
        "group": draft.group,
        "language": draft.language,
        "source": draft.source,
        "split": pair_sides.split_of(draft.group, rules),
        "raters": list(draft.raters),
        "feedback_ids": list(draft.ids),
        "answers": list(draft.answers),
    }


def _pair(draft: Draft, rules: Rules) -> dict[str, Any]:
    said = {"chosen": draft.chosen, "rejected": draft.rejected}
    texts = {name: [{"role": "assistant", "content": text}] for name, text in said.items()}
    prompt = [dict(message) for message in draft.messages]
    return {**_row(draft, rules), "prompt": prompt, **texts, "weight": draft.weight, "margin": draft.margin}


def _single(draft: Draft, rules: Rules) -> dict[str, Any]:
    prompt = [dict(message) for message in draft.messages]
    completion = [{"role": "assistant", "content": draft.chosen}]
    return {**_row(draft, rules), "prompt": prompt, "completion": completion, "label": draft.good, "weight": draft.weight}


def _chat(draft: Draft, rules: Rules) -> dict[str, Any]:
    return pair_cleaning.row_of(draft, pair_sides.split_of(draft.group, rules)).to_json()


def write_part(folder: Path, found: Sequence[Mapping[str, Any]], *, compared: bool = True) -> dict[str, int]:
    """Write the rows of a part, each on its side, with a manifest that trainings check; returns the counts.

    `compared` says whether the rows were compared with evaluation files.
    """
    folder.mkdir()
    counted: dict[str, int] = {
        split: rows.write_json(folder / f"{split}.jsonl", [row for row in found if row["split"] == split]) for split in SPLITS
    }
    files = {f"{split}.jsonl": file_hash(folder / f"{split}.jsonl") for split in SPLITS}
    said = {"files": files, "rows": counted, "contamination_checked": compared, "prompt_hash": PROMPT_HASH}
    write_whole(folder / MANIFEST, json.dumps(said, indent=1) + "\n")
    return counted


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)


def _manifest(
    folder: Path, material: Material, rules: Rules, made: Made, counted: Mapping[str, Mapping[str, int]]
) -> dict[str, Any]:
    files = {str(path.relative_to(folder)): file_hash(path) for path in _files(folder)}
    return {
        "hash": identity(*(f"{name} {digest}" for name, digest in files.items())),
        "rules": {**dataclasses.asdict(rules), "salt": ""},  # with it anybody could tell from a name which hash is whose
        "code": files_hash([*(Path(__file__).with_name(f"{name}.py") for name in MAKERS), Path(personal.__file__)]),
        "prompt_hash": PROMPT_HASH,
        "material": {name: len(getattr(material, name)) for name in material_file.PARTS},
        "raters": sorted(material_file.raters(material)),
        "rows": counted,
        "counts": dict(sorted(made.counts.items())),
        "longer_wins": made.longer_wins,
        "returned": list(made.returned),
        "files": files,
    }


def read(folder: Path) -> Snapshot:
    """Return a finished snapshot, every file compared with its hash. Raises BadInput where it is unfinished or changed."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files: dict[str, str] = manifest["files"]
        _ = manifest["rows"], manifest["hash"], manifest["rules"]
    except OSError as error:
        raise BadInput(f"{folder} holds no {MANIFEST}", "its preference data are not finished", "make them again") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"the {MANIFEST} of {folder} is damaged", "nothing in it can be trusted", "make it again") from error
    for name, digest in files.items():
        if not (folder / name).is_file() or file_hash(folder / name) != digest:
            raise BadInput(f"{folder / name} is not as its {MANIFEST} says", "a snapshot is never changed", "make it again")
    return Snapshot(folder=folder, manifest=manifest)


def rules_of(snapshot: Snapshot) -> Rules:
    """Return the rules that a snapshot was made by; raters are hashes in it already, so no salt is needed."""
    said = {**snapshot.manifest["rules"], "evaluation": tuple(snapshot.manifest["rules"]["evaluation"])}
    return Rules(**said)


def again(snapshot: Snapshot, folder: Path) -> Snapshot:
    """Make a snapshot once more from its raw.jsonl. Raises BadInput where something else came out."""
    made = build(material_file.read(snapshot.folder / RAW), folder, rules_of(snapshot))
    if made.hash != snapshot.hash:
        changed = "the code" if made.manifest["code"] != snapshot.manifest["code"] else "an evaluation file"
        raise BadInput(
            f"{snapshot.folder} made again is {made.hash}, not {snapshot.hash}",
            f"{changed} has changed since",
            f"look at what differs in {folder}",
        )
    return made


def without(snapshot: Snapshot, rater: str, folder: Path) -> Snapshot:
    """Make a snapshot again without everything that one person, given as the hash, said. Raises BadInput where nobody is it."""
    if rater not in snapshot.manifest["raters"]:
        raise BadInput(f"nobody in {snapshot.folder} is {rater}", "nothing would change", "look at `raters` in its manifest")
    material = material_file.without(material_file.read(snapshot.folder / RAW), rater)
    return build(material, folder, rules_of(snapshot))


def summary(snapshot: Snapshot) -> list[str]:
    """Return what is there and what was left out, in lines for people."""
    said, manifest = [], snapshot.manifest
    for part, what in ((PAIRS, "pairs"), (SINGLE, "single answers"), (CHATS, "chats")):
        counts = snapshot.rows(part)
        said.append(f"{sum(counts.values())} {what}: " + ", ".join(f"{counts[split]} {split}" for split in SPLITS))
    if not any(sum(snapshot.rows(part).values()) for part in PARTS):
        said.append("Nothing is left to learn from: collect more ratings; below stands what became of these.")
    share = manifest["longer_wins"]["after"]["share"]
    if share is not None:
        said.append(f"The longer answer is the better one in {share:.0%} of the pairs.")
    if len(manifest["raters"]) == 1:
        said.append("All of it is the word of one person: what a model learns from it is that person's taste.")
    said += [f"Left out or settled: {number} {reason}" for reason, number in manifest["counts"].items()]
    if snapshot.returned:
        said.append(f"{len(snapshot.returned)} corrections go back to their experts: a sentence fails the check.")
    return said
