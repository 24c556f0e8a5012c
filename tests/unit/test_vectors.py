"""The meaning half finds what comparing with every vector finds, also where a segment is too big for that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from knowledge_base import vectors
from knowledge_base.vectors import Nearest, Plan, StoredArray, Vectors, build, kind_for, nearest_exactly

DIMENSIONS = 32


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> StoredArray:
    """Unit vectors in clusters, as texts about the same things are."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(40, DIMENSIONS))
    points = centres[random.integers(40, size=6000)] + 0.6 * random.normal(size=(6000, DIMENSIONS))
    path = tmp_path_factory.mktemp("vectors") / "windows.npy"
    np.save(path, (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float16))
    return StoredArray(path)


@pytest.fixture(scope="module")
def queries(windows: StoredArray) -> Vectors:
    random = np.random.default_rng(1)
    near = windows.mapped[::300].astype(np.float32) + 0.1 * random.normal(size=(20, DIMENSIONS)).astype(np.float32)
    return near / np.linalg.norm(near, axis=1, keepdims=True)


def test_the_kind_of_index_follows_the_size() -> None:
    assert kind_for(1, 384) == kind_for(vectors.EXACT_UP_TO, 384) == "Flat"
    assert kind_for(1_000_000, 384) == "PQ192x4fs"
    assert kind_for(9_000_000, 384) == "IVF12000,PQ192x4fs"


def test_a_small_segment_needs_no_file_and_is_exact(windows: StoredArray, queries: Vectors, tmp_path: Path) -> None:
    plan = build(windows, tmp_path / "windows.faiss", queries)
    assert plan == Plan()
    assert not list(tmp_path.iterdir())
    found = Nearest(windows, plan, tmp_path / "windows.faiss").search(queries, 10, None)
    assert found.tolist() == nearest_exactly(windows.mapped, queries, 10).tolist()


@pytest.mark.parametrize(("scanned_up_to", "kind"), [(10**9, "PQ16x4fs"), (0, "IVF309,PQ16x4fs")])
def test_a_big_segment_finds_nearly_all_and_says_how_much_it_measured(
    windows: StoredArray,
    queries: Vectors,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scanned_up_to: int,
    kind: str,
) -> None:
    monkeypatch.setattr(vectors, "EXACT_UP_TO", 1000)
    monkeypatch.setattr(vectors, "SCANNED_UP_TO", scanned_up_to)
    monkeypatch.setattr(vectors, "FEW", 100)
    plan = build(windows, tmp_path / "windows.faiss", queries)
    assert plan.kind == kind
    assert plan.recall >= vectors.RECALL
    nearest = Nearest(windows, plan, tmp_path / "windows.faiss")
    assert nearest.windows == len(windows)
    exact = nearest_exactly(windows.mapped, queries, 10)
    found = nearest.search(queries, 10, None)
    assert np.mean([np.isin(near, row).mean() for near, row in zip(exact, found, strict=True)]) == pytest.approx(plan.recall)

    allowed = np.zeros(len(windows), dtype=bool)
    allowed[1000:1300] = True
    inside = nearest.search(queries, 50, allowed)
    assert ((inside >= 1000) & (inside < 1300) | (inside == -1)).all()  # lists that are not read hold some of them
    best = 1000 + nearest_exactly(windows.mapped[1000:1300], queries, 10)
    assert np.mean([np.isin(near, row).mean() for near, row in zip(best, inside, strict=True)]) > 0.9
    few = np.zeros(len(windows), dtype=bool)
    few[[3, 9, 27]] = True
    assert set(nearest.search(queries, 5, few).ravel()) == {3, 9, 27, -1}


def test_parts_of_a_big_array_are_read_from_disk_also_when_its_file_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = np.arange(3000, dtype=np.float32).reshape(1000, 3)
    np.save(tmp_path / "array.npy", array)
    starts, ends = np.array([3, 500, 500, 999]), np.array([5, 500, 502, 1000])
    expected = array[[3, 4, 500, 501, 999]]
    for in_memory in (10**9, 0):
        monkeypatch.setattr(vectors, "IN_MEMORY", in_memory)
        stored = StoredArray(tmp_path / "array.npy")
        assert stored.parts(starts, ends).tolist() == expected.tolist()
    (tmp_path / "array.npy").unlink()
    assert stored.parts(starts, ends).tolist() == expected.tolist()
