"""The parts of a chain: settings, texts, how replies are judged, what the figures say, and that steps are not done twice."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoTokenizer

from agri_llm.errors import BadInput
from agri_llm.prompts import REFUSAL_MARK
from training import (
    chain,
    chain_answers,
    chain_config,
    chain_figures,
    chain_texts,
    data_config,
    from_scratch,
    marked_steps,
    rows,
)
from training.chain_config import ChainConfig
from training.rows import Row

CONFIGS = Path(__file__).resolve().parents[2] / "training/configs"
REQUEST = (
    "Passages:\n[1] Rust of wheat. What it is. Rust spreads when leaves stay wet for 6 hours.\n- Grow resistant wheat.\n"
    "[2] Blast of rice. Burn rice straw with blast [3].\n\nKnown about the field: crop: wheat.\n\nQuestion: How do I stop rust?"
)


def row(kind: str = "grounded", **more: Any) -> Row:
    values: dict[str, Any] = {"id": "r", "group": "g", "kind": kind, "language": "en", "source": "sheets", **more}
    said = ({"role": "user", "content": REQUEST}, {"role": "assistant", "content": "Grow resistant wheat.[1]"})
    return Row(messages=said, **values)


@pytest.mark.parametrize("folder", ["tiny", "smoke-chain"])
def test_every_chain_that_ships_can_be_read(folder: str) -> None:
    found = chain_config.read(CONFIGS / folder)
    assert next(path.name for path in found.tunings) == "sft.yaml"
    assert "vocabulary=" in chain_config.described(found)
    assert [source.sort for source in data_config.read(CONFIGS / folder / "data.yaml").sources] == ["sheets"]


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"layer": 2}, "sets 'layer'"),
        ({"layers": "two"}, "must be a whole number"),
        ({"layers": True}, "must be a whole number"),
        ({"half": 1}, "must be bool"),
        ({"kinds": "grounded"}, "must be a list of words"),
        ({"kinds": ["pretraining"]}, "nobody answers in it"),
        ({"held_out": 1.5}, "it is a share"),
        ({"said_again": -1}, "it is a share"),
        ({"sheets_read": 0}, "at least once"),
        ({"vocabulary": 100}, "256 bytes"),
        ({"layers": 0}, "a size below 1"),
        ({"hidden": 96}, "multiple of 64"),
        ({"positions": 10}, "rows of 768 tokens"),
        ([1], "holds no settings"),
    ],
)
def test_wrong_settings_are_one_sentence(tmp_path: Path, said: object, sentence: str) -> None:
    for name in ("pretrain.yaml", "sft.yaml", "data.yaml"):
        (tmp_path / name).write_text("method: full\n")
    (tmp_path / "chain.yaml").write_text(yaml.safe_dump(said))
    with pytest.raises(BadInput, match=sentence):
        chain_config.read(tmp_path)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"has no chain\.yaml"):
        chain_config.read(tmp_path)
    for name in ("chain.yaml", "pretrain.yaml"):
        (tmp_path / name).write_text("seed: 0\n")
    with pytest.raises(BadInput, match=r"has no data\.yaml"):
        chain_config.read(tmp_path)
    with pytest.raises(BadInput, match=r"has no sft\.yaml"):
        chain_config.read(tmp_path, data=tmp_path)
    (tmp_path / "sft.yaml").write_text("rank: 4\n")
    with pytest.raises(BadInput, match="is not there"):
        chain_config.read(tmp_path, texts=(tmp_path / "none",), data=tmp_path)


def test_the_passages_of_a_request_are_found_as_they_were_numbered() -> None:
    found = chain_answers.passages_of(row())
    assert [passage.id for passage in found] == ["1", "2"]
    assert found[0].text.endswith("- Grow resistant wheat.")
    assert found[1].text == "Blast of rice. Burn rice straw with blast [3]."


@pytest.mark.parametrize(
    ("said", "formed", "carried"),
    [
        ("Grow resistant wheat.[1]", (1, 1), (1, 1)),
        ("- Grow resistant wheat.[1]\n- Burn rice straw with blast.[2]", (1, 1), (2, 2)),
        ("Grow resistant wheat.[1] Rust spreads when leaves stay wet for 6 hours.", (0, 1), (1, 2)),
        ("Grow resistant wheat.[3]", (0, 1), (0, 1)),
        ("Grow resistant wheat.[2]", (1, 1), (0, 1)),
        ("Rust spreads when leaves stay wet for 9 hours.[1]", (1, 1), (0, 1)),
        ("", (0, 1), (0, 1)),
        ("[1]", (1, 1), (0, 1)),
    ],
)
def test_a_reply_is_judged_by_form_and_by_what_its_passage_says(
    said: str, formed: tuple[int, int], carried: tuple[int, int]
) -> None:
    shares = chain_answers.judge(row(), said).shares
    assert shares["valid citation form"] == formed
    assert shares["sentences carried"] == carried
    assert shares["answerable refused"] == (0, 1)


def test_a_refusal_is_the_mark_alone() -> None:
    for said, refused in ((REFUSAL_MARK, 1), (f"{REFUSAL_MARK}.\n", 1), (f"{REFUSAL_MARK} but rotate.[1]", 0), ("No.[1]", 0)):
        assert chain_answers.judge(row("refusal"), said).shares == {"unanswerable refused": (refused, 1)}
    shares = chain_answers.judge(row(), REFUSAL_MARK).shares
    assert shares == {"answerable refused": (1, 1)}  # it is no answer, so it has no form


def test_a_question_back_asks_for_a_numbered_detail() -> None:
    for said, asks in (("Please tell me: (1) which crop is it?", 1), ("请告诉我：（1）是哪种作物？", 1), ("Which crop?", 0)):
        assert chain_answers.judge(row("clarification"), said).shares == {"unclear asked back": (asks, 1)}


def test_shares_add_up_over_replies() -> None:
    judged = [chain_answers.judge(row(), said) for said in ("Grow resistant wheat.[1]", "Grow resistant wheat.", REFUSAL_MARK)]
    found = chain_answers.sums(judged)
    assert found["valid citation form"] == (1, 2)
    assert found["answerable refused"] == (1, 3)
    assert "unanswerable refused" not in found


class Even(torch.nn.Module):
    """Finds every token equally likely."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary

    def forward(self, input_ids: torch.Tensor, **_: Any) -> Any:
        return type("Out", (), {"logits": torch.zeros(*input_ids.shape, self.vocabulary)})


@pytest.mark.parametrize("length", [2, 7, 8, 9, 15, 40])
def test_bits_per_byte_predict_every_token_but_the_first_once(length: int) -> None:
    found = chain_figures.bits_per_byte(Even(16), [list(range(1, 12))[:5], [3] * length], 8, size=10)
    assert found == pytest.approx((4 + length - 1) * math.log2(16) / 10)


def test_floors_compare_with_the_untuned_model() -> None:
    shares = {
        "base": {},
        "sft": {"valid citation form": (19, 20), "unanswerable refused": (7, 10)},
        "silent": {"unanswerable refused": (10, 10)},
    }
    found = chain_figures.floors({"base": 4.0, "sft": 2.9, "silent": 3.2}, shares)
    assert found["sft"]["assistant loss"] == {"floor": 0.25, "reached": 0.275, "met": True}
    assert found["sft"]["valid citation form"]["met"]
    assert not found["sft"]["unanswerable refused"]["met"]
    assert not found["silent"]["assistant loss"]["met"]
    assert found["silent"]["valid citation form"] == {"floor": 0.9, "reached": 0.0, "met": False}


def test_the_table_says_what_is_not_reached() -> None:
    shares: dict[str, Any] = {"base": {"valid citation form": (0, 20)}, "sft": {"valid citation form": (10, 20)}}
    losses = {"base": 4.0, "sft": 2.0}
    answers = {"rows": 20, "loss": losses, "shares": shares, "floors": chain_figures.floors(losses, shares)}
    text = {"decoder": 2.0, "5-gram": 1.5, "tokens": 1000, "bytes": 3000}
    said = chain_figures.table({"text": text, "answers": answers})
    assert "the decoder is NOT better" in said
    assert "50.0% (30%–70%, 10 of 20)" in said
    assert "not reached: valid citation form 50.0% of 90%" in said


def test_pieces_said_twice_are_the_same_text() -> None:
    text = "\n".join(f"Line {number} of a long text about rust of wheat and its spores." for number in range(30))
    twice = chain_texts._twice(row("pretraining", text=text))
    pieces = [line for line in twice.text.split("\n") if line]
    assert sorted(pieces) == sorted(text.split("\n") * 2)
    assert twice.id.endswith(chain_texts.AGAIN)


def test_damaged_pieces_are_taken_out_of_a_long_text_and_the_rest_stays() -> None:
    class Filter:
        def soundness(self, texts: list[str]) -> list[float]:
            return [0.0 if "#~|" in text else 1.0 for text in texts]

    sound = [f"Line {number}: rust of wheat spreads when leaves stay wet for six hours." * 3 for number in range(40)]
    text = "\n".join([*sound[:20], *["#~| ru5t 0f wh#at |~ " * 20] * 6, *sound[20:]])
    counts: chain_texts.Counter[str] = chain_texts.Counter()
    rows_ = [row("pretraining", text=text, source="texts"), row("pretraining", text="#~|", source="sheets")]
    found = list(chain_texts._sound(rows_, 0.1, lambda _: Filter(), counts))  # type: ignore[arg-type,return-value]
    assert found[0].text == "#~|"  # our own sheets were checked when they were written
    assert "#~|" not in found[1].text
    assert found[1].text.startswith(sound[0])
    assert found[1].text.endswith(sound[-1])
    assert counts["damaged pieces"] > 0


def data_set(folder: Path) -> Path:
    """Save a data set of a few texts and rows."""
    folder.mkdir()
    for split in rows.SPLITS:
        said = f"Rust of {split} wheat spreads when wet leaves stay in the shade of the tall trees for many hours of the day."
        chat = (*row().messages[:1], {"role": "assistant", "content": f"{said}[1]"})
        found = [Row(id=f"{split}-chat", group=split, kind="grounded", language="en", source="sheets", messages=chat)]
        found.append(
            Row(id=split, group=split, kind="pretraining", language="en", source="sheets", text=f"{said} It is {split}.")
        )
        rows.write(folder / f"{split}.jsonl", found)
    return folder


def test_texts_are_split_cleaned_and_free_of_what_is_asked_later(tmp_path: Path) -> None:
    data, texts = data_set(tmp_path / "data"), tmp_path / "texts"
    texts.mkdir()
    for number in range(12):
        lines = [f"In field {number} the farmer sows maize in row {line} and waters it well." for line in range(number + 5)]
        (texts / f"{number}.md").write_text(f"# Field {number}\n\n" + "\n\n".join(lines))
    answer = next(found for found in rows.read(data / "test.jsonl") if found.messages).messages[-1]["content"]
    (texts / "leak.md").write_text("# A copy\n\n" + answer.removesuffix("[1]") + " That is what somebody wrote down.\n" * 3)
    (texts / "tiny.txt").write_text("Too short.")
    config = ChainConfig(shortest_characters=50, held_out=0.4, said_again=1.0, sheets_read=3)
    given = chain_config.Chain(folder=tmp_path, config=config, out=tmp_path / "run", texts=(texts,))
    out = tmp_path / "out"
    out.mkdir()
    said = chain_texts.write(given, data, out, lambda _: None)
    train, held_out = (list(rows.read(out / f"{split}.jsonl")) for split in ("train", "validation"))
    assert not any("test wheat" in each.text for each in train)
    assert {"validation", "test"} <= {each.id for each in held_out}
    assert "train" in {each.id for each in train}
    assert said["left out"]["too short"] == 1
    once = [each for each in train if not each.id.endswith(chain_texts.AGAIN)]
    sheets = [each for each in once if each.source == "sheets"]
    assert len(train) == 2 * len(once) + 2 * len(sheets)
    assert len({each.id for each in train}) == len(train)
    assert not {each.id for each in once} & {each.id for each in held_out}
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["files"]["train.jsonl"] == rows.file_hash(out / "train.jsonl")


def test_of_a_large_file_some_documents_are_taken(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    lines = [json.dumps({"id": f"s{number}", "text": f"Soil {number} is deep loam. " * 10}) for number in range(40)]
    (texts / "soils.jsonl").write_text("\n".join(lines))
    config = ChainConfig(shortest_characters=50, most_characters=2000)
    given = chain_config.Chain(folder=tmp_path, config=config, out=tmp_path / "run", texts=(texts,))
    found = list(chain_texts._documents(given, lambda _: None, counts := chain_texts.Counter()))
    assert 0 < sum(len(each.text) for each in found) <= 2000
    assert len(found) + counts["more of a large file"] == 40


def test_a_tokenizer_from_nothing_has_our_marks_and_reads_any_text(tmp_path: Path) -> None:
    config = ChainConfig(vocabulary=400)
    tokenizer = from_scratch.make_tokenizer(["Rust of wheat spreads."] * 20, config, tmp_path)
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    for text in ("Rust of wheat.[1]", "番茄晚疫病 🌾", " two  spaces\n"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
    said = tokenizer.apply_chat_template([{"role": "user", "content": "Rust?"}], tokenize=False, add_generation_prompt=True)
    assert said == "<|im_start|>user\nRust?<|im_end|>\n<|im_start|>assistant\n"
    assert len(tokenizer("<|im_end|>")["input_ids"]) == 1
    parameters = from_scratch.make_decoder(tokenizer, ChainConfig(layers=1, hidden=64, intermediate=64, heads=2), tmp_path)
    assert 30_000 < parameters < 100_000
    beside = AutoTokenizer.from_pretrained(tmp_path)  # which goes by the kind of the model there
    for text in ("Rust  of wheat, 2025.\n\nIt's 30 % 番茄", said):
        assert beside(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert (beside.eos_token, beside.pad_token) == ("<|im_end|>", "<|endoftext|>")


def test_a_step_that_is_done_is_not_done_again(tmp_path: Path) -> None:
    done: list[str] = []

    def work(out: Path) -> dict[str, Any]:
        done.append(out.name)
        return {"figure": 1}

    for _ in range(2):
        assert marked_steps.do("1-x", work, tmp_path / "1-x", "maker", lambda _: None)[0] == {"figure": 1}
    assert done == ["1-x"]
    with pytest.raises(BadInput, match="made with other settings"):
        marked_steps.do("1-x", work, tmp_path / "1-x", "another", lambda _: None)


def test_the_seconds_of_a_step_are_told_and_kept_for_the_sum_of_all(tmp_path: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        _, seconds = marked_steps.do("1-x", lambda _: {"figure": time.sleep(0.2)}, tmp_path / "1-x", "maker", told.append)
        assert 0.2 <= seconds < 60  # the second time from the mark of the step, for nothing was done
    assert told == [f"1-x: {seconds} s; {{figure: null}}", f"1-x: done before in {seconds} s; {{figure: null}}"]
    assert chain.times({"1-x": 61.5, "2-y": 3600.0}) == "time: 1-x 61.5 s, 2-y 3,600.0 s; all steps 3,661.5 s (1:01:02)"


def test_a_step_without_its_mark_is_taken_up_again(tmp_path: Path) -> None:
    def stopped(out: Path) -> dict[str, Any]:
        (out / "half").write_text("written")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        marked_steps.do("1-x", stopped, tmp_path / "1-x", "maker", lambda _: None)
    assert not (tmp_path / "1-x" / marked_steps.MARK).exists()
    found, _ = marked_steps.do(
        "1-x", lambda out: {"half": (out / "half").read_text()}, tmp_path / "1-x", "maker", lambda _: None
    )
    assert found == {"half": "written"}


def test_replies_written_before_a_stop_are_kept_and_a_cut_line_is_not(tmp_path: Path) -> None:
    file = tmp_path / "answers-x.jsonl"
    file.write_text(json.dumps({"id": "a", "kind": "grounded", "reply": "Yes.[1]"}) + '\n{"id": "b", "repl')
    assert chain_answers._read(file) == {"a": "Yes.[1]"}
    assert len(file.read_text().splitlines()) == 1
    found = chain_answers.replies(None, None, [row(id="a")], 8, file, lambda _: None)  # nothing is left to ask
    assert found == {"a": "Yes.[1]"}
