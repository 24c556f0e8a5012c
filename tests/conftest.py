"""The embedded model, loaded once for all tests that compare meanings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from knowledge_base.embedding import Embedder


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Sums come out alike only where they are added in the same order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
