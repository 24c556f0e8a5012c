"""What all tests share: the embedded model, loaded once, and Ctrl-C that reaches the programs they start."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from knowledge_base.embedding import Embedder


def pytest_configure() -> None:
    """A shell that starts the tests in the background makes them, and every program they start, deaf to Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
