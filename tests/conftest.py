"""The embedded model, loaded once for all tests that compare meanings."""

from __future__ import annotations

import pytest

from knowledge_base.embedding import Embedder


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    return Embedder()
