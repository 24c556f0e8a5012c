"""The second stage of a search: by the pieces of the question, and by a cross-encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

from agri_llm.errors import BadInput, ModelMissing
from agri_llm.records import Hit, Passage
from agri_llm.settings import Settings
from knowledge_base import builder, reranking
from knowledge_base.embedding import Embedder
from knowledge_base.index import KnowledgeBase
from knowledge_base.reranking import NEIGHBOURHOOD, RERANKED, CrossEncoder, InContext, Pieces, SecondLook

VOCABULARY = "[PAD] [UNK] [CLS] [SEP] [MASK] weevils bore into stored maize lime raises the ph of soil rust on coffee".split()


def one_hot(texts: Sequence[str]) -> list[Pieces]:
    """A token is its word and near to nothing but itself."""
    numbers = [np.array([VOCABULARY.index(word) for word in text.split()], dtype=np.int64) for text in texts]
    return [(each, np.eye(len(VOCABULARY), dtype=np.float32)[each]) for each in numbers]


def hits(*texts: str, scores: Sequence[float] = ()) -> list[Hit]:
    return [
        Hit(passage=Passage(id=f"d#{at}", document_id="d", title="", text=text), score=score, words=score, meaning=score)
        for at, (text, score) in enumerate(zip(texts, scores or [0.5] * len(texts), strict=True))
    ]


def cross_encoder(folder: Path, labels: int = 1) -> Path:
    torch.manual_seed(4)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=32).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=32, num_labels=labels, initializer_range=0.3,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder, safe_serialization=True)
    return folder


def test_a_passage_that_has_all_pieces_of_the_question_comes_first() -> None:
    found = hits("lime raises the ph of soil", "weevils bore into stored maize", "maize on soil")
    assert [hit.passage.id for hit in InContext(one_hot).rerank("weevils stored maize", found)] == ["d#1", "d#2", "d#0"]


def test_what_all_passages_have_decides_less_than_what_few_have() -> None:
    near = InContext(one_hot).nearness("maize weevils", ["maize soil", "maize lime", "maize maize", "weevils maize", "weevils"])
    assert near[3] > near[4] > near[0] == near[1] == near[2]


def test_pieces_that_stand_together_count_more_than_pieces_far_apart() -> None:
    gap = "the " * NEIGHBOURHOOD
    together, apart = InContext(one_hot).nearness("weevils maize", [f"weevils maize {gap}", f"weevils {gap} maize"])
    assert together == pytest.approx(1)
    assert apart < 0.6


def test_without_hits_a_second_stage_returns_none_and_loads_nothing() -> None:
    assert InContext(one_hot).rerank("maize", []) == []
    assert CrossEncoder("no such model").rerank("maize", []) == []


def test_a_passage_or_question_without_a_token_is_near_to_nothing() -> None:
    assert InContext(one_hot).nearness("maize", ["", "maize"])[0] == 0
    assert InContext(one_hot).nearness("", ["maize"]) == [0]


@pytest.mark.parametrize("labels", [1, 2])
def test_a_cross_encoder_changes_the_order_alone(tmp_path: Path, labels: int) -> None:
    found = hits(*(f"{word} of soil" for word in VOCABULARY[5:]))
    ranked = CrossEncoder(str(cross_encoder(tmp_path, labels))).rerank("weevils on coffee", found)
    assert [hit.passage.id for hit in ranked] != [hit.passage.id for hit in found]
    assert sorted(ranked, key=lambda hit: hit.passage.id) == sorted(found, key=lambda hit: hit.passage.id)


def test_a_cross_encoder_reads_texts_longer_than_it_can(tmp_path: Path) -> None:
    ranked = CrossEncoder(str(cross_encoder(tmp_path))).rerank(
        "weevils on coffee " * 50, hits("lime raises the ph " * 100, "soil")
    )
    assert len(ranked) == 2


def test_an_unknown_cross_encoder_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelMissing, match=r"The reranker '.*nowhere' cannot be loaded .*safetensors"):
        CrossEncoder(str(tmp_path / "nowhere")).rerank("maize", hits("maize"))


def test_a_cross_encoder_in_a_pickle_is_refused(tmp_path: Path) -> None:
    folder = cross_encoder(tmp_path)
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelMissing, match="safetensors"):
        CrossEncoder(str(folder)).rerank("maize", hits("maize"))


def test_tokens_of_a_text_lie_where_its_vector_comes_from(embedder: Embedder) -> None:
    texts = ["Weevils bore into stored maize.", "lime"]
    for (numbers, vectors), whole in zip(embedder.tokens(texts), embedder.pieces(texts), strict=True):
        assert vectors.shape == (len(numbers), len(whole))
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
        assert float(whole @ vectors.mean(axis=0)) > 0.5
    words = embedder.tokens(["maize weevils maize"])[0]
    assert words[0][0] == words[0][-1] != words[0][1]


def test_passages_seen_lately_are_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reranking, "REMEMBERED", 2)
    asked: list[list[str]] = []

    def tokens(texts: Sequence[str]) -> list[Pieces]:
        asked.append(list(texts))
        return one_hot(texts)

    context = InContext(tokens)
    first = context.nearness("maize", ["maize", "soil", "lime"])
    assert context.nearness("maize", ["maize", "soil", "lime"]) == first
    assert asked == [["maize", "maize", "soil", "lime"], ["maize", "maize"]]


class Backwards:
    """A second stage that reads English alone and puts the last passage first."""

    reads_every_language = False

    def __init__(self) -> None:
        self.asked: list[str] = []

    def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        self.asked.append(query)
        return list(reversed(hits))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, embedder: Embedder) -> KnowledgeBase:
    folder = tmp_path_factory.mktemp("index") / "index"
    texts = [f"Maize weevils bore into grain of store {number}." for number in range(30)]
    passages = [Passage(id=f"d{at}#1", document_id=f"d{at}", title="", text=text) for at, text in enumerate(texts)]
    chinese = Passage(id="zh#1", document_id="zh", title="", text="玉米象蛀食储藏的玉米。", language="zh", crop=("maize",))
    builder.build(folder, [*passages, chinese], embedder)
    return KnowledgeBase(folder, embedder)


def test_a_second_look_orders_the_first_passages_anew_and_leaves_the_scores_at_their_places(base: KnowledgeBase) -> None:
    plain, stage = base.search("weevils in the store", 30, language="en"), Backwards()
    again = SecondLook(base, stage).search("weevils in the store", 30, language="en")
    assert [hit.passage for hit in again] == [hit.passage for hit in (*plain[RERANKED - 1 :: -1], *plain[RERANKED:])]
    assert [hit.score for hit in again] == [hit.score for hit in plain]
    assert [hit.words for hit in again[:RERANKED]] == [hit.words for hit in plain[RERANKED - 1 :: -1]]


def test_a_second_look_takes_more_than_is_asked_for(base: KnowledgeBase) -> None:
    plain = base.search("weevils in the store", RERANKED, language="en")
    assert SecondLook(base, Backwards()).search("weevils in the store", 1, language="en")[0].passage == plain[-1].passage
    with pytest.raises(BadInput):
        SecondLook(base, Backwards()).search("weevils", 0)


def test_a_question_in_another_language_is_asked_in_english_of_english_passages(base: KnowledgeBase) -> None:
    stage = Backwards()
    again = SecondLook(base, stage)
    again.search("gorgojos", 3, english="weevils")
    assert stage.asked == ["weevils"]
    assert again.search("玉米象", 3, language="zh") == base.search("玉米象", 3, language="zh")
    assert stage.asked == ["weevils"]  # it cannot read Chinese


def test_in_context_reads_the_shipped_network(base: KnowledgeBase, embedder: Embedder) -> None:
    found = SecondLook(base, InContext(embedder.tokens)).search("which beetles are in store 17", 5, language="en")
    assert "store 17" in found[0].passage.text


@pytest.mark.parametrize("name", ["", "context", "some/model"])
def test_the_setting_chooses_the_second_stage(name: str, base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    from ui import wiring

    monkeypatch.setattr(wiring, "settings", lambda: Settings(reranker=name, index=base.folder))
    wiring.knowledge_base.cache_clear()
    chosen = wiring.knowledge_base()
    wiring.knowledge_base.cache_clear()
    assert isinstance(chosen, SecondLook) == bool(name)
    if isinstance(chosen, SecondLook):
        assert isinstance(chosen._stage, InContext if name == "context" else CrossEncoder)
