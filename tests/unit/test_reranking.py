"""The second stage of a search: by the pieces of the question, and by a cross-encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

from agri_llm.errors import ModelMissing
from agri_llm.records import Hit, Passage
from knowledge_base.reranking import NEIGHBOURHOOD, InContext, Pieces, Reranker

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


def test_scores_in_context_stay_between_none_and_all() -> None:
    found = hits("weevils bore into stored maize", "soil", scores=(1.0, 0.0))
    scores = [hit.score for hit in InContext(one_hot).rerank("weevils bore into stored maize", found)]
    assert scores == pytest.approx([1.0, 0.0])


def test_without_hits_a_second_stage_returns_none_and_loads_nothing() -> None:
    assert InContext(one_hot).rerank("maize", []) == []
    assert Reranker("no such model").rerank("maize", []) == []


def test_a_passage_or_question_without_a_token_is_near_to_nothing() -> None:
    assert InContext(one_hot).nearness("maize", ["", "maize"])[0] == 0
    assert InContext(one_hot).nearness("", ["maize"]) == [0]


@pytest.mark.parametrize("labels", [1, 2])
def test_a_cross_encoder_changes_the_order_and_keeps_scores_bounded(tmp_path: Path, labels: int) -> None:
    found = hits(*(f"{word} of soil" for word in VOCABULARY[5:]))
    ranked = Reranker(str(cross_encoder(tmp_path, labels))).rerank("weevils on coffee", found)
    scores = [hit.score for hit in ranked]
    assert [hit.passage.id for hit in ranked] != [hit.passage.id for hit in found]
    assert {hit.passage.id for hit in ranked} == {hit.passage.id for hit in found}
    assert scores == sorted(scores, reverse=True)
    assert 0 <= min(scores) < max(scores) <= 1


def test_a_cross_encoder_reads_texts_longer_than_it_can(tmp_path: Path) -> None:
    ranked = Reranker(str(cross_encoder(tmp_path))).rerank("weevils on coffee " * 50, hits("lime raises the ph " * 100, "soil"))
    assert len(ranked) == 2


def test_an_unknown_cross_encoder_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelMissing, match=r"The reranker '.*nowhere' cannot be loaded .*safetensors"):
        Reranker(str(tmp_path / "nowhere")).rerank("maize", hits("maize"))


def test_a_cross_encoder_in_a_pickle_is_refused(tmp_path: Path) -> None:
    folder = cross_encoder(tmp_path)
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelMissing, match="safetensors"):
        Reranker(str(folder)).rerank("maize", hits("maize"))
