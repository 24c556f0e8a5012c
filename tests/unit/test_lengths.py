"""Rows, how long they are, and into how many sequences they go."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from agri_llm.errors import BadInput
from training import lengths


def row(text: str) -> str:
    turns = [{"role": "user", "content": text}, {"role": "assistant", "content": "Yes.[1]"}]
    return json.dumps({"kind": "grounded", "messages": turns})


def test_rows_are_packed_as_trl_packs_them() -> None:
    datasets, data_utils = pytest.importorskip("datasets"), pytest.importorskip("trl.data_utils")
    chosen = random.Random(4)
    tokens = [chosen.randint(1, 64) for _ in range(300)]
    theirs = data_utils.pack_dataset(datasets.Dataset.from_dict({"input_ids": [[1] * length for length in tokens]}), 64, "bfd")
    ours = lengths.packed(tokens, 64)
    assert ours.sequences == len(theirs)
    assert ours.real == ours.computed == sum(tokens)


def test_long_documents_are_cut_as_trl_cuts_them() -> None:
    datasets, data_utils = pytest.importorskip("datasets"), pytest.importorskip("trl.data_utils")
    chosen = random.Random(5)
    tokens = [chosen.randint(1, 300) for _ in range(100)]
    rows = datasets.Dataset.from_dict({"input_ids": [[1] * length for length in tokens]})
    ours = lengths.packed(lengths.pieces(tokens, 64), 64)
    assert ours.sequences == len(data_utils.pack_dataset(rows, 64, "bfd_split"))
    assert (ours.real, ours.too_long) == (sum(tokens), 0)


def test_rows_that_are_too_long_are_counted_and_left_out() -> None:
    found = lengths.packed([10, 65, 60, 4], 64)
    assert (found.sequences, found.real, found.too_long) == (2, 74, 1)
    assert lengths.padded([10, 65, 60, 4], 64, 2).too_long == 1


def test_padding_is_computed_though_nothing_is_in_it() -> None:
    found = lengths.padded([10, 50], 64, 2)
    assert (found.real, found.computed) == (60, 100)
    assert found.filled == pytest.approx(0.6)
    assert lengths.padded([10, 50], 64, 1).filled == 1


def test_letters_stand_in_where_there_is_no_tokenizer(tmp_path: Path) -> None:
    text = '{"kind": "pretraining", "text": "abcd"}\n'
    (tmp_path / "train.jsonl").write_text(row("a" * 400) + "\n\n" + row("叶" * 100) + "\n" + text)
    found = lengths.of_folder(tmp_path, "sft")
    assert found.estimated
    assert len(found.tokens) == 2
    assert lengths.of_folder(tmp_path, "pretrain").tokens == (6,)
    assert found.tokens[0] == pytest.approx(112, abs=3)
    assert found.tokens[1] == pytest.approx(113, abs=3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no rows for `agri train sft`"),
        ("{\n", "line 1 cannot be read"),
        ('{"prompt": "x"}\n', "line 1 has the columns prompt, not 'messages'"),
        (None, "there is no .*train.jsonl"),
    ],
)
def test_rows_that_cannot_be_read_are_named(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "train.jsonl").write_text(text)
    with pytest.raises(BadInput, match=said):
        lengths.of_folder(tmp_path, "sft")
