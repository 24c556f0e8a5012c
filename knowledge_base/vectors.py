"""The meaning half of a search: the nearest windows of a segment, exactly where it is small, by FAISS where it is big.

A big segment keeps half a byte per two dimensions of a window in memory and goes through all of them (product quantisation,
fast scan: André et al., arXiv 1704.07355); what comes out is compared again with the vectors as they were stored. For
questions, which lie far from any window, that finds more in less time than looking into some of many lists
(docs/benchmarks.md).
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Windows = NDArray[np.float16]
Vectors = NDArray[np.float32]
Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]

EXACT_UP_TO = 100_000  # windows; below, comparing with every window takes a few milliseconds
SCANNED_UP_TO = 4_000_000  # windows; above, going through all of them takes more than 20 ms
RECALL = 0.995  # share of the exact ten nearest that a search must find; fixes how many candidates are compared again
CANDIDATES = (100, 200, 400, 800)
TRAINED_ON = 65_536  # windows
FEW = 20_000  # allowed windows that are compared one by one instead of searching
BLOCK = 65_536  # windows read at once
IN_MEMORY = 64 << 20  # bytes; bigger arrays of vectors stay on disk


class StoredArray:
    """An array on disk of which parts are read: what is read of a file that is mapped would stay in memory."""

    def __init__(self, path: Path) -> None:
        """Open what `np.save` wrote; the file may be deleted afterwards."""
        whole = np.load(path, mmap_mode="r" if path.stat().st_size > IN_MEMORY else None, allow_pickle=False)
        self.mapped: NDArray[Any] = whole.view(np.ndarray)  # for reading it through, once
        self._file = path.open("rb", buffering=0) if isinstance(whole, np.memmap) else None
        self._offset = whole.offset if isinstance(whole, np.memmap) else 0

    def __len__(self) -> int:
        """How many rows it has."""
        return len(self.mapped)

    def parts(self, starts: Rows, ends: Rows) -> NDArray[Any]:
        """Return the rows of some ranges, one range after another."""
        array = self.mapped
        if self._file is None:
            found: NDArray[Any] = array[positions(starts, ends)]
            return found
        size = array.dtype.itemsize * int(np.prod(array.shape[1:], dtype=np.int64))
        read = [
            os.pread(self._file.fileno(), (end - start) * size, self._offset + start * size)
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]
        return np.frombuffer(b"".join(read), dtype=array.dtype).reshape(-1, *array.shape[1:])


def positions(starts: Rows, ends: Rows) -> Rows:
    """Return the numbers of all ranges, one range after another."""
    counts = ends - starts
    before = np.cumsum(counts) - counts
    numbers: Rows = np.arange(counts.sum()) + np.repeat(starts - before, counts)
    return numbers


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What kind of FAISS index a segment has; `recall` is its share of the exact ten nearest, measured when it was built."""

    kind: str = "Flat"
    candidates: int = 0
    lists_read: int = 0
    recall: float = 1.0


def kind_for(windows: int, dimensions: int) -> str:
    """Name the FAISS index for so many windows, as `faiss.index_factory` reads it."""
    if windows <= EXACT_UP_TO:
        return "Flat"
    scan = f"PQ{dimensions // 2}x4fs"
    return scan if windows <= SCANNED_UP_TO else f"IVF{int(4 * np.sqrt(windows))},{scan}"


def build(windows: StoredArray, path: Path, trials: Vectors) -> Plan:
    """Write the FAISS index of unit vectors (windows, dimensions) to `path`; nothing where comparing with all is best.

    `trials` (questions, dimensions) are what the recall is measured with.
    """
    import faiss

    stored: Windows = windows.mapped
    kind = kind_for(len(stored), stored.shape[1])
    if kind == "Flat":
        return Plan()
    index = faiss.index_factory(stored.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
    lists = faiss.extract_index_ivf(index).nlist if kind.startswith("IVF") else 0
    count = min(max(TRAINED_ON, 64 * lists), len(stored))
    chosen = np.sort(np.random.default_rng(0).choice(len(stored), count, replace=False))
    index.train(stored[chosen].astype(np.float32))
    for start in range(0, len(stored), BLOCK):
        index.add(stored[start : start + BLOCK].astype(np.float32))
    faiss.write_index(index, str(path))
    exact = nearest_exactly(stored, trials, 10)
    plan = Plan(kind=kind)
    for plan in _plans(kind, lists):
        found = Nearest(windows, plan, path, index).search(trials, 10, None)
        plan = replace(plan, recall=float(np.mean([np.isin(near, row).mean() for near, row in zip(exact, found, strict=True)])))
        if plan.recall >= RECALL:
            break
    return plan


def _plans(kind: str, lists: int) -> list[Plan]:
    """Return what may be tried, cheapest first."""
    read = [share for share in (lists // 64, lists // 16, lists // 4, lists) if share] if lists else [0]
    return [Plan(kind=kind, candidates=candidates, lists_read=share) for share in read for candidates in CANDIDATES]


def nearest_exactly(windows: Windows, queries: Vectors, k: int) -> Rows:
    """Return the k nearest windows of each query, (queries, k), comparing with every one."""
    import faiss

    heap = faiss.ResultHeap(len(queries), min(k, len(windows)), keep_max=True)
    for start in range(0, len(windows), BLOCK):
        flat = faiss.IndexFlatIP(windows.shape[1])
        flat.add(windows[start : start + BLOCK].astype(np.float32))
        distances, found = flat.search(queries, min(k, flat.ntotal))
        heap.add_result(distances, found + start)
    heap.finalize()
    return np.asarray(heap.I, dtype=np.int64)


class Nearest:
    """Finds the windows nearest to questions."""

    def __init__(self, windows: StoredArray, plan: Plan, path: Path, index: Any = None) -> None:
        """`path` is what `build` wrote; a small segment is compared with whole. A GPU takes over where faiss-gpu sees one."""
        import faiss

        self._windows, self._plan = windows, plan
        self._exact = plan.kind == "Flat"
        if self._exact:  # half precision, as the windows are stored: a quarter of the time of IndexFlatIP, the same order
            self._index: Any = faiss.IndexScalarQuantizer(
                windows.mapped.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
            )
            for start in range(0, len(windows), BLOCK):
                self._index.add(windows.mapped[start : start + BLOCK].astype(np.float32))
        else:
            self._index = faiss.read_index(str(path)) if index is None else index
            if plan.lists_read:
                self._index.nprobe = plan.lists_read
        self._gpu_lock = threading.Lock()  # a GPU index must not be searched by two threads
        self._gpu: Any = None
        if self._exact and hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0:
            self._resources = faiss.StandardGpuResources()  # the GPU index does not keep it alive
            self._gpu = faiss.GpuIndexFlatIP(self._resources, windows.mapped.shape[1])
            self._gpu.add(windows.mapped.astype(np.float32))

    @property
    def windows(self) -> int:
        """How many windows there are."""
        return int(self._index.ntotal)

    def search(self, queries: Vectors, k: int, allowed: Mask | None) -> Rows:
        """Return the k nearest windows of each query, (queries, k), best first; -1 where there are fewer.

        `allowed` (windows,) lets only some through.
        """
        if allowed is not None and np.count_nonzero(allowed) <= FEW:
            few = np.flatnonzero(allowed)
            cosines = queries @ self._windows.parts(few, few + 1).astype(np.float32).T
            return _padded([few[np.argsort(-row, kind="stable")[:k]] for row in cosines], k)
        if self._exact:
            return self._compared_with_all(queries, k, allowed)
        return _padded([self._looked_at_again(query, k, allowed) for query in queries], k)

    def _compared_with_all(self, queries: Vectors, k: int, allowed: Mask | None) -> Rows:
        import faiss

        if allowed is None and self._gpu is not None:  # the GPU knows no filters, and no more than 2048 nearest
            with self._gpu_lock:
                return np.asarray(self._gpu.search(queries, min(k, 2048))[1], dtype=np.int64)
        bits = None if allowed is None else np.packbits(allowed, bitorder="little")
        selector = None if bits is None else faiss.IDSelectorBitmap(self.windows, faiss.swig_ptr(bits))
        options = faiss.SearchParameters(sel=selector) if selector else None  # type: ignore[call-arg]
        return np.asarray(self._index.search(queries, k, params=options)[1], dtype=np.int64)

    def _looked_at_again(self, query: Vectors, k: int, allowed: Mask | None) -> Rows:
        """Take candidates by their short codes and put them in the order of their vectors.

        The codes know no filter: so many more are taken, and again as many while too few of them are allowed.
        """
        wanted = max(k, self._plan.candidates)
        share = 1.0 if allowed is None else np.count_nonzero(allowed) / len(allowed)
        taken = min(int(wanted / share * 1.2) if share < 1 else wanted, self.windows)
        while True:
            found = self._index.search(query[None], taken)[1][0]
            found = found[found >= 0] if allowed is None else found[(found >= 0) & allowed[found]]
            if len(found) >= wanted or taken >= self.windows:
                break
            taken = min(4 * taken, self.windows)
        found = np.sort(found[:wanted])  # the disk is read from front to back
        cosines = self._windows.parts(found, found + 1).astype(np.float32) @ query
        best: Rows = found[np.argsort(-cosines, kind="stable")[:k]]
        return best


def _padded(found: list[Rows], k: int) -> Rows:
    """Return rows of different lengths as one array, -1 where there is nothing."""
    whole = np.full((len(found), k), -1, dtype=np.int64)
    for row, each in zip(whole, found, strict=True):
        row[: len(each)] = each
    return whole
