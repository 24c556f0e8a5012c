"""How fast texts become vectors, against SentenceTransformer.encode in batches of 32, and what rounding to 8 bits costs.

    python benchmarks/embedding.py --data DATA [--work FOLDER] [--texts 600] [--rounds 5]

The competitors take turns in one process, so that what else the machine does hits all alike; only ratios of medians are told.
The texts: descriptions of soils, single sentences of them, the agxqa paragraphs, passages and sentences of the sheets.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from question_sets import HEADER, Asked, files_of, questions_of
from report import machine, publish, table

from agri_llm.errors import KnowledgeError
from agri_llm.records import Passage
from agri_llm.sentences import split
from knowledge_base import builder, reading, shipped
from knowledge_base.embedding import Embedder, Vectors, embedded_model_folder
from knowledge_base.index import KnowledgeBase

Encode = Callable[[list[str]], Vectors]

# Tried and left: texts per second against the baseline in the same run, the least cosine with float32 over 200 to 400 texts.
# Ratios of different runs differ by a tenth or two.
REJECTED: list[list[object]] = [
    ["onnxruntime float32", "1.2–1.6", "1.000", "slow; two more packages"],
    ["onnxruntime, dynamic 8-bit", "3.0–3.2", ".985", "a text's vector depends on the texts in its batch"],
    ["onnxruntime MatMulNBits 8-bit, blocks of 128", "1.9", ".999", "slow"],
    ["torch float32, no padding, oneDNN weights", "2.0", "1.000", "slow"],
    ["torch bfloat16, no padding, oneDNN weights", "2.2–3.3", "1.000", "only where the processor has bfloat16"],
    ["torch 8-bit, oneDNN", "–", "–", "no figure within ten minutes: some types fall back to reference kernels"],
    ["OpenVINO float32", "1.8", "1.000", "slow"],
    ["OpenVINO bfloat16", "3.2–4.4", "1.000", "only where the processor has bfloat16"],
    ["OpenVINO, 8-bit with ranges fixed on 100 texts", "4.7–5.7", ".981–.992", "no faster than ours, farther from float32"],
    ["the same by nncf, attention in 8 bits too", "4.5–5.2", ".980", "the same; sixteen seconds of calibration"],
    ["OpenVINO, 8-bit, one scale per token", "5.7", ".996", "no faster than 128 values per scale, farther from float32"],
    ["OpenVINO, 8-bit, 128 values per scale", "5.2 (ours: 4.9)", ".998", "agxqa, dense alone: R@1 -0.012, MRR@10 -0.010"],
    ["OpenVINO, 8-bit, 32 values per scale", "–", ".999", "agxqa, dense alone: R@1 0.000, success@5 -0.006"],
    ["OpenVINO, 8-bit, weights in blocks of 128 too", "–", ".998", "no loss either; a more complicated graph"],
    ["static smoothing of outlying channels", "–", ".998", "agxqa, dense alone: R@1 0.000, success@5 -0.006"],
]  # fmt: skip


class Float32(Embedder):
    """The embedded model as torch computes it."""

    def __init__(self) -> None:
        super().__init__()
        self.__dict__["_network"] = None


def texts(data: Path, count: int) -> list[str] | None:
    """Return a mixture of real texts, the same ones every time; None where the data are missing."""
    soils, paragraphs = data / "corpus" / "soil-series.jsonl.gz", data / "retrieval" / "agxqa" / "passages.jsonl"
    if not soils.exists() or not paragraphs.exists():
        return None
    chosen = random.Random(1)
    with gzip.open(soils, "rt", encoding="utf-8") as lines:
        rows = chosen.sample([json.loads(line) for line in lines], 400)
    found = [f"{row['title']}. {' '.join(row['text'].split()[:150])}" for row in rows]
    found += [chosen.choice(split(row["text"])).text for row in rows]
    found += [json.loads(line)["text"] for line in paragraphs.read_text(encoding="utf-8").splitlines() if line.strip()]
    sheets = shipped.sheets()
    found += [f"{sheet.title}. {sheet.heading}. {sheet.text}" for sheet in sheets[:464]]
    sentences = [span.text for sheet in sheets for span in split(sheet.text)]
    found += chosen.sample(sentences, min(2000 - len(found), len(sentences)))
    chosen.shuffle(found)
    return found[:count]


def competitors() -> dict[str, Encode]:
    """The baseline, and ours."""
    from sentence_transformers import SentenceTransformer

    model, embedder = SentenceTransformer(str(embedded_model_folder())), Embedder()
    return {
        "SentenceTransformer.encode, batches of 32": lambda rows: np.asarray(
            model.encode(rows, batch_size=32, show_progress_bar=False)
        ),
        f"**ours** ({embedder.backend})": embedder.pieces,
    }


def speed(sample: list[str], rounds: int) -> str:
    """Time all competitors in turn, and say how far their vectors are from the first one's."""
    encoders = competitors()
    reference = next(iter(encoders.values()))(sample)
    rows: list[list[object]] = []
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    waits: dict[str, list[float]] = {name: [] for name in encoders}
    near = {name: (encode(sample) * reference).sum(axis=1) for name, encode in encoders.items()}
    for _ in range(rounds):
        for name, encode in encoders.items():
            seconds[name].append(_timed(encode, sample))
            waits[name] += [_timed(encode, [text[:80]]) for text in sample[:40]]
    base, base_wait = (float(np.median(next(iter(times.values())))) for times in (seconds, waits))
    for name in encoders:
        ratio, wait = base / np.median(seconds[name]), float(np.median(waits[name])) / base_wait
        rows.append([name, f"{ratio:.2f}", f"{wait:.2f}", float(near[name].mean()), float(near[name].min())])
    header = ["", "texts/s, times the baseline", "wait for one question, times the baseline", "mean cosine", "least cosine"]
    return table(header, rows)


def _timed(encode: Encode, rows: list[str]) -> float:
    start = time.perf_counter()
    encode(rows)
    return time.perf_counter() - start


def meanings(asks: Embedder, made: Embedder, questions: list[str], passages: list[Passage]) -> list[list[str]]:
    """Return the documents of the best passages by the nearest of their windows alone."""
    windows = [made.windows(passage.text, passage.title) for passage in passages]
    vectors = made.pieces([window for group in windows for window in group])
    starts = np.cumsum([0] + [len(group) for group in windows[:-1]])
    scores = np.maximum.reduceat(asks.questions(questions) @ vectors.T, starts, axis=1)  # (questions, passages)
    return [[passages[at].document_id for at in best] for best in np.argsort(-scores, axis=1, kind="stable")[:, :30]]


def fused(asked: Asked) -> list[float]:
    """Return the measures of the whole search."""
    found = asked.base.search_all(asked.questions, 30)
    return means(asked, [[hit.passage.document_id for hit in hits] for hits in found])


def means(asked: Asked, found: list[list[str]]) -> list[float]:
    """Return the mean of each measure."""
    return [float(value) for value in asked.values(found).mean(axis=0)]


def loss(data: Path, work: Path) -> str:
    """Score the agxqa questions over their paragraphs with every pairing of the two numerics."""
    questions, relevant = questions_of("agxqa", data)
    passages = list(reading.read_passages(files_of("agxqa", data)[:1])[0])
    embedders: dict[str, Embedder] = {"float32": Float32(), "8-bit": Embedder()}
    results: dict[str, list[float]] = {}
    for made, embedder in embedders.items():
        builder.build(work / made, passages, embedder)
        for asks, other in embedders.items():
            asked = Asked("agxqa", KnowledgeBase(work / made, other), questions, relevant)
            dense = means(asked, meanings(other, embedder, questions, passages))
            results[f"{asks} | {made}"] = dense + fused(asked)
    first = next(iter(results.values()))
    header = ["questions", "passages", *(f"{part} {name}" for part in ("dense", "fused") for name in HEADER[1:])]
    rows: list[list[object]] = [
        [*name.split(" | "), *(f"{value:.3f} ({value - rival:+.3f})" for value, rival in zip(values, first, strict=True))]
        for name, values in results.items()
    ]
    return table(header, rows)


def haystack(name: str, data: Path, work: Path) -> list[list[object]]:
    """Score 8-bit and float32 questions over the whole index that benchmarks/retrieval.py left in `work`; and time a batch."""
    questions, relevant = questions_of(name, data)
    rows: list[list[object]] = []
    for asks, embedder in (("float32", Float32()), ("8-bit", Embedder())):
        try:
            base = KnowledgeBase(work / name, embedder)
        except KnowledgeError:
            return [[name, asks, *["not measured"] * 5]]
        found = fused(Asked(name, base, questions, relevant))
        thousand = (questions * 10)[:1000]
        start = time.perf_counter()
        base.search_all(thousand)
        rows.append([name, asks, *found, f"{len(thousand) / (time.perf_counter() - start):.0f}"])
    return rows


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("build/benchmark"), help="where retrieval.py keeps its indexes")
    parser.add_argument("--texts", type=int, default=600, help="how many texts are timed, at most 2,000")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    sample = texts(options.data, options.texts)
    parts = [
        f"`python benchmarks/embedding.py --data DATA`, {machine()}, {options.texts} texts, medians of {options.rounds} rounds."
    ]
    parts.append("Speed: not measured, soil-series or agxqa is missing." if sample is None else speed(sample, options.rounds))
    if (options.data / "retrieval" / "agxqa").is_dir():
        with tempfile.TemporaryDirectory() as work:
            parts.append("agxqa, its 155 paragraphs alone, and what changes against float32 on both sides:\n\n")
            parts[-1] += loss(options.data, Path(work))
    else:
        parts.append("Loss: not measured, agxqa is missing.")
    sets = [name for name in ("agxqa", "agask") if (options.data / "retrieval" / name).is_dir()]
    rows = [row for name in sets for row in haystack(name, options.data, options.work)]
    header = ["set", "questions", *(f"fused {name}" for name in HEADER[1:]), "questions/s, search included"]
    parts.append("The whole haystacks, as their index was built by benchmarks/retrieval.py:\n\n" + table(header, rows))
    parts.append(
        "Tried and left:\n\n" + table(["", "texts/s, times the baseline", "least cosine with float32", "why left"], REJECTED)
    )
    publish("embedding", "Embedding", "\n\n".join(parts))


if __name__ == "__main__":
    main()
