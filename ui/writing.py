"""An answer being written in a thread of its own, so that the page can stop following it at any moment."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import cast

from agri_llm.assistant import Assistant, Event
from agri_llm.records import Question

# As many answers at once as a small server can follow; the next ones wait their turn.
_WRITERS = ThreadPoolExecutor(max_workers=16, thread_name_prefix="answer")


class Writing:
    """One answer on its way; `events` follows it, `stop` ends it after the sentence in work.

    `assistant` is the one that writes this answer from its begin to its end.
    """

    def __init__(self, assistant: Assistant, question: Question) -> None:
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self.assistant = assistant
        self._work = _WRITERS.submit(self._write, question)

    def events(self, tick_seconds: float) -> Iterator[Event | None]:
        """Yield what happens, and None whenever nothing did for `tick_seconds`; raises what the writer raised."""
        while True:
            try:
                event = self._events.get(timeout=tick_seconds)
            except queue.Empty:
                yield None
                continue
            if event is None:
                break
            yield event
        self._work.result()

    def stop(self) -> None:
        """Let the writer end; harmless when it has ended."""
        self._stopped.set()
        self._work.cancel()

    def _write(self, question: Question) -> None:
        try:
            self.assistant = self.assistant.pinned(question)
            with closing(cast("Generator[Event, None, None]", self.assistant.stream(question))) as events:
                for event in events:
                    if self._stopped.is_set():
                        return
                    self._events.put(event)
        finally:
            self._events.put(None)
