"""How an index in PostgreSQL is built and searched with 24,823 passages, beside an index folder with the same vectors.

    python benchmarks/postgres.py --data DATA --url postgresql+psycopg://USER@HOST/DATABASE [--work FOLDER]

The database must have pgvector and is overwritten. Passages, questions and vectors are those of scale.py, whose folder of work
is used where it is given. What is measured as approximate is what an index of more than 100,000 windows uses, made on purpose.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import scale
from report import machine, publish, table
from sqlalchemy import text

from agri_llm.records import Passage
from knowledge_base import builder, postgres_builder, postgres_segment
from knowledge_base.embedding import Embedder, Vectors
from knowledge_base.index import KnowledgeBase
from knowledge_base.postgres import PostgresKnowledgeBase
from knowledge_base.postgres_tables import Database
from knowledge_base.vectors import nearest_exactly

SIZE = 24_823
REGION = "ca"  # of 2,381 of them
HEADER = ["index", "recall@10", "search p50 / p95", "with a filter p50 / p95"]
NEW = Passage(
    id="office#1",
    document_id="office",
    title="Soil tests at our office",
    text="Our extension office tests soil on Mondays. Bring a dry sample of half a kilogram in a clean bag.",
)


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds a piece of work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def search_times(base: KnowledgeBase, asked: Sequence[str], vectors: Vectors, **filters: Any) -> str:
    """Return p50 and p95 of a search in milliseconds, the embedding of the question left out."""
    times = []
    for question, vector in zip(asked, vectors, strict=True):
        base.embedder = scale.Fixed(vector)
        times.append(timed(lambda asked=question: base.search(asked, 10, **filters)))  # type: ignore[misc]
    return f"{np.percentile(times, 50) * 1000:.0f} / {np.percentile(times, 95) * 1000:.0f} ms"


def recall(base: PostgresKnowledgeBase, folder: KnowledgeBase, vectors: Vectors) -> float:
    """Return which share of the exact ten nearest passages the meaning half finds among its hundred candidates."""
    (segment,) = base.view.segments
    (exact_segment,) = folder.view.segments
    exact = nearest_exactly(exact_segment.windows, vectors, 10)
    found = segment.nearest_rows(vectors, 100, None)
    pairs = zip(exact, found, strict=True)
    return float(np.mean([len(np.intersect1d(exact_segment.row_of(near), rows)) / 10 for near, rows in pairs]))


def same(base: KnowledgeBase, folder: KnowledgeBase, asked: Sequence[str], embedder: Embedder) -> float:
    """Return the share of questions with the same ten passages in the same order."""
    base.embedder = folder.embedder = embedder
    ids = [[[hit.passage.id for hit in hits] for hits in each.search_all(asked, 10)] for each in (base, folder)]
    return float(np.mean([ours == theirs for ours, theirs in zip(*ids, strict=True)]))


def measure(options: argparse.Namespace) -> tuple[list[list[object]], dict[str, Any]]:
    """Build, search and change both; returns the rows of the table and what is told beside it."""
    copies, prepared, embedder = scale.Copies(options.data, SIZE), scale.RealVectorsWithNoise(options.work), Embedder()
    prepared.prepare(copies)
    place, url = options.work / f"index-{SIZE}", options.url
    if not (place / "CURRENT").exists():
        builder.build(place, copies, prepared)
    told: dict[str, Any] = {"load": os.getloadavg()[0]}
    told["built"] = timed(lambda: postgres_builder.build(url, copies, prepared))
    asked = scale.questions(options.data)
    vectors = embedder.questions(asked)
    folder, base = KnowledgeBase(place, embedder), PostgresKnowledgeBase(url, embedder)
    told["opened"] = timed(lambda: PostgresKnowledgeBase(url, embedder))

    def row(name: str, searched: KnowledgeBase, found: float) -> list[object]:
        search_times(searched, asked[:20], vectors[:20])  # the first ones fill caches
        return [name, found, search_times(searched, asked, vectors), search_times(searched, asked, vectors, region=REGION)]

    rows = [row("folder", folder, 1.0), row("PostgreSQL, exact", base, recall(base, folder, vectors))]
    told["alike"] = same(base, folder, asked, embedder)
    told["added"] = timed(lambda: postgres_builder.add(url, [NEW], embedder))
    told["removed"] = timed(lambda: postgres_builder.remove(url, [NEW.document_id], embedder))
    postgres_builder.EXACT_UP_TO = postgres_segment.EXACT_UP_TO = postgres_segment.FEW = 0  # type: ignore[attr-defined]
    told["indexed"] = timed(lambda: postgres_builder.add(url, [NEW], embedder)) - told["added"]
    rows.append(row("PostgreSQL, HNSW", base, recall(base, folder, vectors)))
    with closing(Database(url)) as database, database.reading() as connection:
        tables = "FROM pg_class WHERE relkind = 'r' AND relnamespace = CAST(:name AS regnamespace)"
        size = text(f"SELECT sum(pg_total_relation_size(oid)) {tables}")
        told["size"] = int(connection.scalar(size, {"name": base.view.version.name}) or 0)
        told["server"] = connection.scalar(text("SHOW server_version"))
        told["pgvector"] = connection.scalar(text("SELECT extversion FROM pg_extension WHERE extname = 'vector'"))
    return rows, told


def main() -> None:
    """Measure, then write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--work", type=Path, default=Path("benchmarks/.work/scale"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rows, told = measure(options)
    busy = told["load"] > (os.cpu_count() or 1) / 2
    beside = f" Measured beside other work (load {told['load']:.1f}): compare the rows with each other only." if busy else ""
    about = (
        f"`python benchmarks/postgres.py --data DATA --url URL`, {machine()}; PostgreSQL {told['server']} with pgvector"
        f" {told['pgvector']} on the same machine; {SIZE:,} passages, {scale.QUESTIONS} questions one at a time, without the"
        " embedding of the question; recall is that of the meaning half against comparing with every vector. The filter is a"
        f" region. Building takes {told['built']:.0f} s with vectors that are there already, making the HNSW index"
        f" {told['indexed']:.0f} s more, opening {told['opened']:.2f} s, adding a document {told['added']:.2f} s, removing it"
        f" {told['removed']:.2f} s; the version has {told['size'] >> 20:,} MiB. {told['alike']:.1%} of the questions find the"
        f" same ten passages in the same order as in the folder.{beside}"
    )
    publish("postgres", "PostgreSQL", f"{about}\n\n" + table(HEADER, rows))


if __name__ == "__main__":
    main()
