"""Which rows go where: the split by group, how often a source comes, how many rows of a kind, and the order."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from heapq import heappop, heappush
from pathlib import Path

from agri_llm.errors import BadInput
from training import examined, rows
from training.data_config import DataConfig
from training.rows import SPLITS, Row, Split


def share(*parts: object) -> float:
    """Return a number from 0 up to 1 that is the same on every run and machine for these words."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_of(group: str, config: DataConfig) -> Split:
    """Return the side that a group is on: it depends on its name and the seed alone, so that it stays when rows are added.

    What is asked of sections that a model is examined on is for the test side.
    """
    if group.endswith(examined.MARK):
        return "test"
    place = share(config.seed, "split", group)
    if place < config.test:
        return "test"
    return "validation" if place < config.test + config.validation else "train"


def with_splits(config: DataConfig) -> Callable[[Iterable[Row], Counter[str]], Iterator[Row]]:
    """Return the step that puts every row on the side of its group; raises BadInput where a side stays empty."""

    def step(found: Iterable[Row], counts: Counter[str]) -> Iterator[Row]:
        for row in found:
            side = split_of(row.group, config)
            counts[f"for {side}"] += 1
            counts["for test because evaluation asks about the section"] += row.group.endswith(examined.MARK)
            yield replace(row, split=side)
        if missing := [side for side in SPLITS if not counts[f"for {side}"]]:
            total = sum(counts[f"for {side}"] for side in SPLITS)
            raise BadInput(
                f"{total} {'row was' if total == 1 else 'rows were'} left and none for {missing[0]}",
                "rows that belong together stay on one side, and each side needs some",
                "add rows or groups, change the seed, or raise its share",
            )

    return step


def mixed(config: DataConfig) -> Callable[[Iterable[Row], Counter[str]], Iterator[Row]]:
    """Return the step that repeats or thins out rows for training by the weight of their source; others stay as they are.

    Of a kind that is limited the same share of every source stays, whatever comes first.
    """
    weights = {source.name: source.weight for source in config.sources}

    def step(found: Iterable[Row], counts: Counter[str]) -> Iterator[Row]:
        chosen: dict[str, list[tuple[float, str, Row]]] = {kind: [] for kind in config.most_of_a_kind}
        for row in found:
            times = _times(row, weights[row.source], config.seed) if row.split == "train" else 1
            counts["left out by weight or kind"] += times < 1
            counts["repeated"] += max(0, times - 1)
            for time in range(times):
                copy = row if time == 0 else replace(row, id=f"{row.id}~{time + 1}")
                if row.split != "train" or row.kind not in chosen:
                    yield copy
                    continue
                heap = chosen[row.kind]  # the one to give up first lies on top
                heappush(heap, (-share(config.seed, "kind", copy.id), copy.id, copy))
                if len(heap) > config.most_of_a_kind[row.kind]:
                    heappop(heap)
                    counts["left out by weight or kind"] += 1
        for heap in chosen.values():
            yield from (copy for _, _, copy in sorted(heap, key=lambda each: each[1]))

    return step


def _times(row: Row, weight: float, seed: int) -> int:
    return int(weight) + (share(seed, "weight", row.id) < weight % 1)


def in_order(path: Path, seed: int, split: Split) -> Iterator[Row]:
    """Yield the rows of one side in an order that mixes sources and kinds; only their places are kept in memory."""
    places: list[tuple[float, int]] = []
    with path.open("rb") as file:
        start = 0
        for line in file:
            row = rows.row_of(_object(line), f"{path},")
            if row.split == split:
                places.append((share(seed, "order", row.id), start))
            start += len(line)
        for _, start in sorted(places):
            file.seek(start)
            yield rows.row_of(_object(file.readline()), f"{path},")


def _object(line: bytes) -> dict[str, object]:
    found: dict[str, object] = json.loads(line)
    return found
