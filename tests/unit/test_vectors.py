"""The meaning half finds what comparing with every vector finds, also where a segment is too big for that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from knowledge_base import vectors
from knowledge_base.vectors import Nearest, Plan, Windows, build, kind_for, nearest_exactly

DIMENSIONS = 32


@pytest.fixture(scope="module")
def windows() -> Windows:
    """Unit vectors in clusters, as texts about the same things are."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(40, DIMENSIONS))
    points = centres[random.integers(40, size=6000)] + 0.6 * random.normal(size=(6000, DIMENSIONS))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float16)


@pytest.fixture
def queries(windows: Windows) -> np.ndarray:
    random = np.random.default_rng(1)
    near = windows[::300].astype(np.float32) + 0.1 * random.normal(size=(20, DIMENSIONS)).astype(np.float32)
    return near / np.linalg.norm(near, axis=1, keepdims=True)


def test_the_kind_of_index_follows_the_size() -> None:
    assert kind_for(1) == kind_for(vectors.EXACT_UP_TO) == "Flat"
    assert kind_for(1_000_000) == "IVF4000,SQ8"
    assert kind_for(9_000_000) == "IVF12000,PQ96x8"


def test_a_small_segment_needs_no_file_and_is_exact(windows: Windows, queries: np.ndarray, tmp_path: Path) -> None:
    plan = build(windows, tmp_path / "windows.faiss")
    assert plan == Plan()
    assert not list(tmp_path.iterdir())
    found = Nearest(windows, plan, tmp_path / "windows.faiss").search(queries, 10, None)
    assert found.tolist() == nearest_exactly(windows, queries, 10).tolist()


@pytest.mark.parametrize(("quantised_up_to", "kind"), [(10**9, "SQ8"), (0, "PQ16x8")])
def test_a_big_segment_finds_nearly_all_and_says_how_much_it_measured(
    windows: Windows,
    queries: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    quantised_up_to: int,
    kind: str,
) -> None:
    monkeypatch.setattr(vectors, "EXACT_UP_TO", 1000)
    monkeypatch.setattr(vectors, "QUANTISED_UP_TO", quantised_up_to)
    real = vectors.kind_for
    monkeypatch.setattr(vectors, "kind_for", lambda count: real(count).replace("PQ96", "PQ16"))  # 96 does not divide 32
    plan = build(windows, tmp_path / "windows.faiss")
    assert plan.kind.endswith(kind)
    assert 0 < plan.lists_read <= 4 * np.sqrt(len(windows))
    nearest = Nearest(windows, plan, tmp_path / "windows.faiss")
    assert nearest.windows == len(windows)
    found = nearest.search(queries, vectors.NEAREST, None)
    recall = np.mean(
        [np.isin(near, row).mean() for near, row in zip(nearest_exactly(windows, queries, 10), found, strict=True)]
    )
    assert recall >= 0.95
    assert plan.recall >= vectors.RECALL or plan.lists_read == int(4 * np.sqrt(len(windows)))

    allowed = np.zeros(len(windows), dtype=bool)
    allowed[1000:5500] = True
    inside = nearest.search(queries, 50, allowed)
    assert ((inside >= 1000) & (inside < 5500)).all()
    few = np.zeros(len(windows), dtype=bool)
    few[[3, 9, 27]] = True
    assert set(nearest.search(queries, 5, few).ravel()) == {3, 9, 27, -1}
