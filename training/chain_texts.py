"""The texts that a decoder reads on: our sheets and folders of documents, cleaned, compared with what it is asked later, split.

Sheets stand on the side of the split on which the questions about them stand; other documents are dealt out by the hash of
their names. A share of the pieces for training is said twice in a row: looking back for what comes next is what answering
from passages needs, and so little text hardly teaches it otherwise (Olsson et al. 2022, arXiv 2209.11895). The sheets are
read several times, because they are few beside the rest and the only ones in Chinese; up to four times is nearly as good as
new text (Muennighoff et al. 2023, arXiv 2305.16264).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from agri_llm.errors import BadInput, DocumentUnreadable
from knowledge_base import shipped
from knowledge_base.documents import read_all
from training import cleaning, contamination, rows
from training.chain_config import Chain
from training.cleaning import Judge
from training.contamination import Contamination
from training.data_config import DataConfig, Source
from training.progress import Tell
from training.rows import MANIFEST, Row, answers_of, file_hash, identity, question_of, write_whole

AGAIN = "-again"  # ends the id of a text that was there before: read once more, or with its pieces said twice
PIECE = 700  # characters of a piece said twice, so that both fit into a context
JUDGED = 1500  # characters judged together: the filter learned from passages, and from stretches of them
TAUGHT = 8  # every eighth passage of the sheets teaches the quality filter, as for data sets
NO_LIMIT = 1e9


def write(chain: Chain, data: Path, out: Path, tell: Tell) -> dict[str, Any]:
    """Write train.jsonl, validation.jsonl and their manifest; returns how much there is. Raises BadInput."""
    counts: Counter[str] = Counter()
    found = _cleaned(chain, [*_sheets(data), *_documents(chain, tell, counts)], counts)
    kept = list(_untested(found, data, counts))
    train = [row for row in kept if row.split == "train"]
    held_out = [row for row in kept if row.split == "validation"]
    if not train or not held_out:
        raise BadInput(
            f"of {len(kept)} texts {len(train)} are to be read and {len(held_out)} held out",
            "both must be there, or nothing could be compared",
            "give more --texts, or raise held_out",
        )
    again = [_twice(row) for row in train if _share(row.id, "again") < chain.config.said_again]
    sheets = [row for row in train if row.source == "sheets"]
    again += [replace(row, id=f"{row.id}-{time}{AGAIN}") for time in range(1, chain.config.sheets_read) for row in sheets]
    rows.write(out / "train.jsonl", [*train, *again])
    rows.write(out / "validation.jsonl", held_out)
    write_manifest(out, ("train.jsonl", "validation.jsonl"))
    characters = {name: sum(len(row.text) for row in some) for name, some in (("train", train), ("held out", held_out))}
    return {
        "documents": {"train": len(train), "held out": len(held_out), "said again": len(again)},
        "characters": characters,
        "left out": dict(counts),
    }


def write_manifest(folder: Path, names: Iterable[str]) -> None:
    """Say what the files are and that they were compared with what is asked at the end."""
    said = {
        "files": {name: file_hash(folder / name) for name in names},
        "contamination_checked": True,
        "contamination": {"compared_with": "the evaluation files of the project and the held-out rows of the data set"},
        "steps": [],
    }
    write_whole(folder / MANIFEST, json.dumps(said, indent=1) + "\n")


def _sheets(data: Path) -> Iterator[Row]:
    """Yield the texts of a data set; those of validation and test are held out."""
    for split in rows.SPLITS:
        for row in rows.read(data / f"{split}.jsonl"):
            if row.kind == "pretraining":
                yield replace(row, split="train" if split == "train" else "validation", source="sheets")


def _documents(chain: Chain, tell: Tell, counts: Counter[str]) -> Iterator[Row]:
    """Yield the documents of all folders; of a file with more than `most_characters` some, chosen by the hash of their ids."""
    by_file: dict[str, list[Row]] = {}
    for folder in chain.texts:
        for document in read_all([folder]):
            if isinstance(document, DocumentUnreadable):
                counts["unreadable"] += 1
                tell(f"left out: {document.what}")
                continue
            text = "\n\n".join(page.text for page in document.pages)
            if len(text) < chain.config.shortest_characters:
                counts["too short"] += 1
                continue
            row = Row(
                id=identity(str(folder), document.path, document.id),
                group=document.id,
                kind="pretraining",
                language=document.language or "en",
                source="texts",
                licence=document.licence or "",
                text=text,
            )
            held_out = _share(row.id, "split") < chain.config.held_out
            by_file.setdefault(document.path, []).append(replace(row, split="validation" if held_out else "train"))
    for found in by_file.values():
        used = 0
        for row in sorted(found, key=lambda row: row.id):
            if used and used + len(row.text) > chain.config.most_characters:
                counts["more of a large file"] += 1
                continue
            used += len(row.text)
            yield row


def _share(name: str, purpose: str) -> float:
    """Return a number from 0 to 1 that depends on a name alone."""
    return int(identity(name, purpose), 16) / 2**64


def _cleaned(chain: Chain, found: Iterable[Row], counts: Counter[str]) -> Iterable[Row]:
    """Take out personal data, damage, other languages than English and Chinese, and what is said before."""
    sources = (Source(name="sheets", sort="sheets"), Source(name="texts", sort="documents", path="-"))
    config = DataConfig(sources=sources, seed=chain.config.seed, longest_words=NO_LIMIT, quality=chain.config.quality)

    def sort_of(name: str) -> str:
        return next(source.sort for source in sources if source.name == name)

    judge = cleaning.judged_by(lambda: [passage.text for passage in shipped.sheets()[::TAUGHT]], config.seed)
    found = cleaning.cleaned(config, sort_of)(found, counts)
    return cleaning.unrepeated(config)(_sound(found, chain.config.quality, judge, counts), counts)


def _sound(found: Iterable[Row], least: float, judge: Judge, counts: Counter[str]) -> Iterator[Row]:
    """Take damaged pieces out of texts of others; whole books say things again and again, and would be taken for damage."""
    others: list[tuple[Row, list[str]]] = []
    for row in found:
        if row.source == "texts":
            others.append((row, _pieces(row.text, JUDGED)))
        else:
            yield row
    if not others:
        return
    every = [piece for _, pieces in others for piece in pieces]
    quality = judge(Random(0).sample(every, min(cleaning.TOGETHER, len(every))))
    for row, pieces in others:
        kept = [piece for piece, sound in zip(pieces, quality.soundness(pieces), strict=True) if sound >= least]
        counts["damaged pieces"] += len(pieces) - len(kept)
        if kept:
            yield replace(row, text="\n".join(kept))


def _pieces(text: str, length: int) -> list[str]:
    """Return a text in pieces of whole lines, none but those of a single line longer than so many characters."""
    pieces, piece = [], ""
    for line in text.split("\n"):
        if piece and len(piece) + len(line) > length:
            pieces.append(piece)
            piece = ""
        piece = f"{piece}\n{line}" if piece else line
    return [each for each in [*pieces, piece] if each.strip()]


def _untested(found: Iterable[Row], data: Path, counts: Counter[str]) -> Iterator[Row]:
    """Leave out texts for training that repeat an evaluation case of the project, or an answer that is asked for at the end.

    Sheets may repeat one another's sentences: of those the questions' own sheets are held out already.
    """
    with TemporaryDirectory() as folder:
        asked = Path(folder) / "held-out.jsonl"
        cases = (
            {"question": question_of(row), "answer": " ".join(answers_of(row))}
            for split in ("validation", "test")
            for row in rows.read(data / f"{split}.jsonl")
            if row.kind not in ("pretraining", "refusal", "clarification")
        )
        own = Contamination([asked] if rows.write_json(asked, cases) else [])
    suites = Contamination(contamination.files_of(("shipped",)))
    for row in found:
        tests = [suites] if row.source == "sheets" else [suites, own]
        if row.split == "train" and any(test.overlap(row) for test in tests):
            counts["repeats what is asked"] += 1
        else:
            yield row


def _twice(row: Row) -> Row:
    """Return a text of whose pieces each is said twice in a row."""
    text = "\n\n".join(f"{piece[:PIECE]}\n{piece[:PIECE]}" for piece in _pieces(row.text, PIECE))
    return replace(row, id=row.id + AGAIN, text=text)
