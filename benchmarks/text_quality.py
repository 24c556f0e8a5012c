"""What the filter of text quality keeps of texts that it never saw, and what of the same texts damaged by us.

    python benchmarks/text_quality.py --data DATA

Three filters in one run: groups of letters learned from our sheets alone; ours without, and ours with a look at the texts that
it is to judge, half of which teach it and the other half of which is judged. Pieces of about 1,500 characters.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from report import machine, publish, table
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from agri_llm.errors import DocumentUnreadable
from knowledge_base import shipped
from knowledge_base.documents import read_all
from training.chain_texts import JUDGED, _pieces
from training.data_config import DataConfig
from training.dataset import TAUGHT
from training.text_quality import DAMAGES, QualityFilter

SHORTEST = 200  # characters: of less nobody can say whether it is sound
MOST = 240  # pieces of a collection: half of them teach
FOLDERS = {
    "extension manuals (text of PDFs)": "corpus/extension-manuals",
    "encyclopedia articles": "corpus/wikipedia-agriculture",
    "agronomy manual, half of it tables": "corpus/nrcs-agronomy-manual",
    "soil survey handbook, with lists of codes": "corpus/nrcs-soil-survey-handbook",
    "textbook with exercises in HTML": "corpus/openstax-plant-biology",
}
Judge = Callable[[Sequence[str]], Sequence[float]]


def collections(data: Path) -> dict[str, list[str]]:
    """Return pieces of text by collection, in an order drawn once."""
    found = {name: _of_folder(data / folder) for name, folder in FOLDERS.items()}
    found["extension paragraphs"] = [row["text"] for row in _lines(data / "retrieval/agxqa/passages.jsonl")]
    chats = _lines(data / "instruct/plant_protection_zh.jsonl")
    found["Chinese answers"] = [row["messages"][-1]["content"] for row in chats]
    for name, texts in found.items():
        kept = [text for text in texts if len(text) >= (SHORTEST if name != "Chinese answers" else SHORTEST // 3)]
        found[name] = Random(0).sample(kept, min(MOST, len(kept)))
    return found


def _of_folder(folder: Path) -> list[str]:
    documents = [each for each in read_all([folder]) if not isinstance(each, DocumentUnreadable)]
    return [piece for each in documents for piece in _pieces("\n\n".join(page.text for page in each.pages), JUDGED)]


def _lines(path: Path) -> list[dict[str, object]]:  # a file of JSON lines
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def letters(sound: Sequence[str]) -> Judge:
    """The filter that was here before: groups of letters, from our sheets and damage to them."""
    random = Random(0)
    broken = [damage(text, random) for text in sound for damage in DAMAGES]
    groups = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 5), n_features=2**16, alternate_sign=False)
    model = make_pipeline(groups, LogisticRegression(C=30.0, solver="liblinear", class_weight="balanced", random_state=0))
    model.fit([*sound, *broken], [1] * len(sound) + [0] * len(broken))
    return lambda texts: model.predict_proba(texts)[:, 1]


def kept(judge: Judge, texts: Sequence[str]) -> float:
    """Return the share of texts that pass the threshold of the shipped configurations."""
    return sum(found >= DataConfig.quality for found in judge(texts)) / len(texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    sound = [passage.text for passage in shipped.sheets()][::TAUGHT]
    before, alone = letters(sound), QualityFilter(sound).soundness
    rows: list[list[object]] = []
    for name, texts in collections(parser.parse_args().data).items():
        random, unseen = Random(1), texts[1::2]
        damaged = [[damage(text, random) for text in unseen] for damage in DAMAGES]
        filters = (before, alone, QualityFilter(sound, 0, texts[::2]).soundness)
        shares = [(kept(judge, unseen), [kept(judge, broken) for broken in damaged]) for judge in filters]
        rows.append(
            [name, len(unseen), *(f"{whole:.2f} / {sum(each) / len(each):.2f}" for whole, each in shares), *shares[-1][1]]
        )
    header = ["texts", "pieces", "letters of our sheets", "ours, sheets alone", "**ours**"]
    header += [damage.__name__ for damage in DAMAGES]
    said = (
        f"`python benchmarks/text_quality.py --data DATA`, {machine()}. Share of pieces kept at {DataConfig.quality}, as they"
        " are / after damage, the mean of five kinds; then by ours after each kind. What ours drops of sound texts is read as"
        " tables, lists of codes, indexes and markup; words in a wrong order are the damage it sees worst.\n\n"
    )
    publish("text-quality", "Sound and damaged text", said + table(header, rows))


if __name__ == "__main__":
    main()
