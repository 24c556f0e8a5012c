"""How search, opening, adding and removing go with 24,823, a hundred thousand and a million passages.

    python benchmarks/scale.py --data DATA [--work FOLDER] [--sizes 24823 100000 1000000]

The passages are the first five sentences of real soil descriptions. Beyond 24,823 they are copies of them: the name of the
series carries the number of the copy, and every vector is the real one with noise (cosine about 0.9 with it). Each figure
comes from a process of its own; the index goes through the same code as any other.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import resource
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from report import machine, publish, table

from agri_llm.records import Passage
from agri_llm.sentences import split
from knowledge_base import builder
from knowledge_base.embedding import Embedder, Vectors
from knowledge_base.index import KnowledgeBase
from knowledge_base.vectors import nearest_exactly

NOISE = 0.48  # length of the noise added to a unit vector: cosine 1 / sqrt(1 + 0.48²) = 0.90
SENTENCES = 5
QUESTIONS = 300
WORDS_ASKED = 9


class Copies(Sequence[Passage]):
    """Soil descriptions, made as they are asked for: number i is copy i // n of description i % n."""

    def __init__(self, data: Path, count: int) -> None:
        with gzip.open(data / "corpus" / "soil-series.jsonl.gz", "rt", encoding="utf-8") as lines:
            self.rows = [json.loads(line) for line in lines]
        self.texts = [" ".join(span.text for span in split(row["text"])[:SENTENCES]) for row in self.rows]
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: Any) -> Any:
        if not 0 <= at < self._count:
            raise IndexError(at)
        copy, number = divmod(at, len(self.rows))
        row, text = self.rows[number], self.texts[number]
        name = row["title"].removesuffix(" soil series")
        if copy:
            text = re.sub(rf"\b{re.escape(name)}\b", f"{name}-copy{copy}", text)
        document = f"{row['id']}-{copy}"
        title = f"{name}-copy{copy}" if copy else name
        return Passage(id=f"{document}#1", document_id=document, title=title, text=text, region=(row["region"].lower(),))


class RealVectorsWithNoise(Embedder):
    """Embeds each real text once, on disk; a copy gets the vector of the text it was made from, with noise of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._rows: dict[str, int] = {}
        self._real: Vectors = np.zeros((0, 384), dtype=np.float32)

    def prepare(self, copies: Copies) -> None:
        """Embed all real texts, or load what an earlier run left."""
        firsts = [copies[at] for at in range(min(len(copies), len(copies.rows)))]
        texts = [text for passage in firsts for text in self.windows(passage.text, passage.title)]
        texts += [span.text for passage in firsts for span in split(passage.text)]
        texts = list(dict.fromkeys(texts))
        self._rows = {text: row for row, text in enumerate(texts)}
        path = self._folder / f"vectors-{self.weights_hash[:12]}-{len(texts)}.npy"
        if not path.exists():
            started = time.perf_counter()
            vectors = super().pieces(texts, lambda done, total: print(f"\rembedding {done}/{total}", end="", file=sys.stderr))
            print(f"\nembedded {len(texts)} texts in {time.perf_counter() - started:.0f} s", file=sys.stderr)
            np.save(path, vectors.astype(np.float16), allow_pickle=False)
        self._real = np.load(path, mmap_mode="r", allow_pickle=False)

    def windows(self, text: str, title: str = "") -> list[str]:
        """One window of the whole passage: five sentences are short enough."""
        return [f"{title}. {text}" if title else text]

    def pieces(self, texts: Sequence[str], progress: Any = None) -> Vectors:
        """Return the vectors of the texts that these copies were made from, with noise."""
        real = [re.sub(r"-copy\d+", "", text) for text in texts]
        vectors = np.array(self._real[[self._rows[text] for text in real]], dtype=np.float32)
        changed = [at for at, text in enumerate(texts) if text != real[at]]
        for at in changed:
            noise = np.random.default_rng(zlib.crc32(texts[at].encode())).standard_normal(vectors.shape[1], dtype=np.float32)
            vectors[at] += NOISE * noise / np.linalg.norm(noise)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def memory() -> dict[str, int]:
    """Return the resident memory of this process in MiB: what it wrote, and what it mapped from files."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return {name: int(re.search(rf"{name}:\s+(\d+)", status)[1]) // 1024 for name in ("VmRSS", "RssAnon", "RssFile")}  # type: ignore[index]


def questions(data: Path) -> list[str]:
    """Return beginnings of random sentences of the descriptions, the name of the series left out."""
    copies = Copies(data, 1)
    random = np.random.default_rng(1)
    asked = []
    while len(asked) < QUESTIONS:
        row = copies.rows[random.integers(len(copies.rows))]
        spans = split(row["text"])
        text = spans[random.integers(len(spans))].text.replace(row["title"].removesuffix(" soil series"), "")
        if len(text.split()) > WORDS_ASKED:
            asked.append(" ".join(text.split()[:WORDS_ASKED]))
    return asked


def build(data: Path, work: Path, count: int) -> dict[str, Any]:
    """Build an index of `count` passages."""
    copies = Copies(data, count)
    embedder = RealVectorsWithNoise(work)
    embedder.prepare(copies)
    started = time.perf_counter()
    builder.build(work / f"index-{count}", copies, embedder, progress=lambda d, t: print(f"\r{d}/{t}", end="", file=sys.stderr))
    print(file=sys.stderr)
    seconds = time.perf_counter() - started
    size = sum(path.stat().st_size for path in (work / f"index-{count}").rglob("*") if path.is_file())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"build_s": seconds, "build_peak_mib": peak, "disk_mib": size >> 20}


def search(data: Path, work: Path, count: int) -> dict[str, Any]:
    """Open the index and ask it, one question at a time."""
    embedder = Embedder()
    asked = questions(data)
    vectors = embedder.questions(asked)
    bare = memory()
    started = time.perf_counter()
    base = KnowledgeBase(work / f"index-{count}", embedder)
    opened = time.perf_counter() - started
    base.search_all(asked[:20], 10)
    whole = _milliseconds(base, asked)
    fused = []
    for text, vector in zip(asked, vectors, strict=True):  # not in turns: the threads of the embedder go to rest slowly
        base.embedder = Fixed(vector)
        fused += _milliseconds(base, [text])
    after = memory()
    (segment,) = base.view.segments
    exact = nearest_exactly(segment.windows, vectors, 10)
    found = []
    for vector in vectors:
        rows = segment.nearest_rows(vector[None], 100, None)[0]
        found.append(rows[np.argsort(-segment.nearness(vector, rows).window)[:10]])
    recall = np.mean([len(np.intersect1d(near, segment.row_of(best))) / 10 for near, best in zip(found, exact, strict=True)])
    return {
        "open_s": opened,
        "plan": segment.facts["plan"],
        "p50_ms": float(np.percentile(fused, 50)),
        "p95_ms": float(np.percentile(fused, 95)),
        "whole_p50_ms": float(np.percentile(whole, 50)),
        "recall": float(recall),
        "rss": after,
        "bare": bare,
    }


def _milliseconds(base: KnowledgeBase, asked: Sequence[str]) -> list[float]:
    took = []
    for text in asked:
        started = time.perf_counter()
        base.search(text, 10)
        took.append((time.perf_counter() - started) * 1000)
    return took


class Fixed(Embedder):
    """Gives one question vector made beforehand."""

    def __init__(self, vector: Vectors) -> None:
        super().__init__()
        self._vector = vector[None]

    def questions(self, texts: Sequence[str]) -> Vectors:
        """Return the vector."""
        return self._vector


def change(data: Path, work: Path, count: int) -> dict[str, Any]:
    """Add and remove a document while another thread keeps asking."""
    folder, embedder = work / f"index-{count}", Embedder()
    base = KnowledgeBase(folder, embedder)
    asked = questions(data)
    slowest, stop = [0.0], threading.Event()

    def ask() -> None:
        for number in range(10**9):
            if stop.is_set():
                return
            started = time.perf_counter()
            hits = base.search(asked[number % len(asked)], 10)
            slowest[0] = max(slowest[0], time.perf_counter() - started)
            assert len(hits) == 10

    base.search(asked[0], 10)
    embedder.pieces(["warm"])
    alone = _changed(folder, embedder, base)
    reader = threading.Thread(target=ask)
    reader.start()
    beside = _changed(folder, embedder, base)
    stop.set()
    reader.join()
    return {**alone, "beside": beside, "slowest_search_s": slowest[0]}


def _changed(folder: Path, embedder: Embedder, base: KnowledgeBase) -> dict[str, float]:
    text = "Our extension office tests soil on Mondays. Bring a dry sample of half a kilogram in a clean bag."
    new = Passage(id="office#1", document_id="office", title="Soil tests at our office", text=text)
    started = time.perf_counter()
    builder.add(folder, [new], embedder)
    added = time.perf_counter() - started
    assert base.search("when does the office test soil")[0].passage == new
    started = time.perf_counter()
    builder.remove(folder, ["office"], embedder)
    removed = time.perf_counter() - started
    assert base.search("when does the office test soil")[0].passage != new
    return {"add_s": added, "remove_s": removed}


def main() -> None:
    """Measure every size in processes of their own and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("benchmarks/.work/scale"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[24_823, 100_000, 1_000_000])
    parser.add_argument("--stage", choices=["build", "search", "change"], help="one stage of one size, printed as JSON")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.stage:
        stages = {"build": build, "search": search, "change": change}
        print(json.dumps(stages[options.stage](options.data, options.work, options.sizes[0])))
        return
    rows = []
    for size in options.sizes:
        kept = options.work / f"build-{size}.json"
        if not kept.exists():
            kept.write_text(json.dumps(_stage("build", size, options)), encoding="utf-8")
        built = json.loads(kept.read_text(encoding="utf-8"))
        rows.append((size, {**built, **_stage("search", size, options), **_stage("change", size, options)}))
    _publish(rows)


def _stage(stage: str, size: int, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--data", options.data, "--work", options.work, "--stage", stage, "--sizes", str(size)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return result


def _publish(rows: list[tuple[int, dict[str, Any]]]) -> None:
    header = ["passages", "index", "recall@10", "search p50 / p95", "with the question's embedding p50", "opening"]
    header += [
        "resident (of it mapped files)",
        "build",
        "peak of the build",
        "on disk",
        "add",
        "remove",
        "slowest search meanwhile",
    ]
    body = []
    for size, found in rows:
        plan, rss = found["plan"], found["rss"]
        kind = plan["kind"] + (f", {plan['candidates']} looked at again" if plan["candidates"] else "")
        beside = found["beside"]
        body.append(
            [
                f"{size:,}", kind, found["recall"], f"{found['p50_ms']:.1f} / {found['p95_ms']:.1f} ms",
                f"{found['whole_p50_ms']:.1f} ms", f"{found['open_s']:.2f} s", f"{rss['VmRSS']:,} ({rss['RssFile']:,}) MiB",
                f"{found['build_s']:.0f} s", f"{found['build_peak_mib']:,} MiB", f"{found['disk_mib']:,} MiB",
                f"{found['add_s']:.2f} s ({beside['add_s']:.2f} s)", f"{found['remove_s']:.2f} s ({beside['remove_s']:.2f} s)",
                f"{found['slowest_search_s'] * 1000:.0f} ms",
            ]
        )  # fmt: skip
    text = (
        f"`python benchmarks/scale.py --data DATA`, {machine()}. Both halves of the search, {QUESTIONS} questions, one at a"
        " time; recall is that of the meaning half against comparing with every vector. The process that searches holds"
        f" {rows[0][1]['bare']['VmRSS']:,} MiB before it opens an index (Python, torch, the embedder). Building takes vectors"
        " that are there already. In brackets: while another thread asks without a pause.\n\n" + table(header, body)
    )
    publish("scale", "A million passages", text)


if __name__ == "__main__":
    main()
