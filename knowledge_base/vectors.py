"""The meaning half of a search: the nearest windows of a segment, exactly where it is small, by FAISS lists where it is big."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Windows = NDArray[np.float16]
Mask = NDArray[np.bool_]

EXACT_UP_TO = 100_000  # windows; below, comparing with every window takes a few milliseconds
QUANTISED_UP_TO = 4_000_000  # windows; above, a byte per dimension (1.5 GB) becomes too much for a laptop
RECALL = 0.99  # share of the exact ten nearest that a search must find; fixes how many lists are looked into
NEAREST = 100  # candidates, compared again with the vectors as they were stored
TRIALS = 256  # vectors that the recall is measured with
FEW = 4_000  # allowed windows that are compared one by one instead of searching


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What kind of FAISS index a segment has; `recall` is its share of the exact ten nearest, measured when it was built."""

    kind: str = "Flat"
    lists_read: int = 0
    recall: float = 1.0


def kind_for(windows: int) -> str:
    """Name the FAISS index for so many windows, as `faiss.index_factory` reads it.

    Lists number 4·√n, the lower end of the FAISS guidelines; product quantisation keeps 96 bytes of a window.
    """
    if windows <= EXACT_UP_TO:
        return "Flat"
    lists = int(4 * np.sqrt(windows))
    return f"IVF{lists},SQ8" if windows <= QUANTISED_UP_TO else f"IVF{lists},PQ96x8"


def build(windows: Windows, path: Path) -> Plan:
    """Write the FAISS index of unit vectors (windows, dimensions) to `path`; nothing where comparing with all is best."""
    import faiss

    kind = kind_for(len(windows))
    if kind == "Flat":
        return Plan()
    random = np.random.default_rng(0)
    index = faiss.index_factory(windows.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
    lists = faiss.extract_index_ivf(index).nlist
    chosen = np.sort(random.choice(len(windows), min(64 * lists, len(windows)), replace=False))
    index.train(windows[chosen].astype(np.float32))
    for start in range(0, len(windows), 65_536):
        index.add(windows[start : start + 65_536].astype(np.float32))
    trials = windows[np.sort(random.choice(len(windows), min(TRIALS, len(windows)), replace=False))].astype(np.float32)
    # A question lies near a window, not on it: noise of this size leaves a cosine of about 0.8.
    trials += random.normal(scale=0.75 / np.sqrt(trials.shape[1]), size=trials.shape).astype(np.float32)
    faiss.normalize_L2(trials)
    plan = _measured(index, windows, trials, kind, lists)
    faiss.write_index(index, str(path))
    return plan


def _measured(index: Any, windows: Windows, trials: NDArray[np.float32], kind: str, lists: int) -> Plan:
    """Find how many lists must be read to reach RECALL."""
    import faiss

    exact = nearest_exactly(windows, trials, 10)
    plan = Plan()
    lists_read = 4
    while True:
        lists_read = min(2 * lists_read, lists)
        options = faiss.SearchParametersIVF(nprobe=lists_read)  # type: ignore[call-arg]
        _, found = index.search(trials, NEAREST, params=options)
        hits = 0
        for trial, near, candidates in zip(trials, exact, found, strict=True):
            candidates = candidates[candidates >= 0]
            best = candidates[np.argsort(-(windows[candidates].astype(np.float32) @ trial))[:10]]
            hits += len(np.intersect1d(near, best))
        plan = Plan(kind=kind, lists_read=lists_read, recall=hits / exact.size)
        if plan.recall >= RECALL or lists_read == lists:
            return plan


def nearest_exactly(windows: Windows, queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the k nearest windows of each query, (queries, k), comparing with every one."""
    import faiss

    heap = faiss.ResultHeap(len(queries), min(k, len(windows)), keep_max=True)
    for start in range(0, len(windows), 65_536):
        flat = faiss.IndexFlatIP(windows.shape[1])
        flat.add(windows[start : start + 65_536].astype(np.float32))
        distances, found = flat.search(queries, min(k, flat.ntotal))
        heap.add_result(distances, found + start)
    heap.finalize()
    return np.asarray(heap.I, dtype=np.int64)


class Nearest:
    """Finds the windows nearest to questions; the FAISS index of a big segment stays on disk and is mapped."""

    def __init__(self, windows: Windows, plan: Plan, path: Path) -> None:
        """`path` is what `build` wrote; without it all windows are compared. A GPU takes over where faiss-gpu sees one."""
        import faiss

        self._windows, self._plan = windows, plan
        if plan.kind == "Flat":
            self._index: Any = faiss.IndexFlatIP(windows.shape[1])
            self._index.add(windows.astype(np.float32))
        else:
            self._index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        self._gpu_lock = threading.Lock()  # a GPU index must not be searched by two threads
        self._gpu: Any = None
        if hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0:
            self._resources = faiss.StandardGpuResources()  # the GPU index does not keep it alive
            self._gpu = faiss.index_cpu_to_gpu(self._resources, 0, self._index)

    @property
    def windows(self) -> int:
        """How many windows there are."""
        return int(self._index.ntotal)

    def search(self, queries: NDArray[np.float32], k: int, allowed: Mask | None) -> NDArray[np.int64]:
        """Return the k nearest windows of each query, (queries, k), best first; -1 where there are fewer.

        `allowed` (windows,) lets only some through.
        """
        import faiss

        selector = None
        if allowed is not None:
            chosen = np.flatnonzero(allowed) if np.count_nonzero(allowed) <= FEW else None
            if chosen is not None:
                return self._among(chosen, queries, k)
            bits = np.packbits(allowed, bitorder="little")
            selector = faiss.IDSelectorBitmap(len(allowed), faiss.swig_ptr(bits))
        if self._gpu is not None and selector is None:  # the GPU knows no filters
            with self._gpu_lock:
                self._set_lists(self._gpu)
                return np.asarray(self._gpu.search(queries, min(k, 2048))[1], dtype=np.int64)
        if self._plan.kind == "Flat":
            options = faiss.SearchParameters(sel=selector) if selector else None  # type: ignore[call-arg]
        else:
            options = faiss.SearchParametersIVF(nprobe=self._plan.lists_read, sel=selector)  # type: ignore[call-arg]
        return np.asarray(self._index.search(queries, k, params=options)[1], dtype=np.int64)

    def _set_lists(self, index: Any) -> None:
        if self._plan.lists_read:
            index.nprobe = self._plan.lists_read

    def _among(self, chosen: NDArray[np.int64], queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
        """Compare with a few windows one by one."""
        cosines = queries @ self._windows[chosen].astype(np.float32).T
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        found = np.full((len(queries), k), -1, dtype=np.int64)
        found[:, : order.shape[1]] = chosen[order]
        return found
