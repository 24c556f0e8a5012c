"""Exports of tiny real runs: each is loaded back and judged, and what cannot be exported is one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny_chat
import torch
from safetensors import SafetensorError
from tokenizers import Regex, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS
from typer.testing import CliRunner

from agri_llm.errors import AgriError, BadInput, ModelMissing, TrainingStopped
from agri_llm.language import contract
from agri_llm.language.local import LocalModel, nf4_config
from training import adapt, configuration, export, finished, formats, gguf_file, held_out, pruning
from training.export import Wanted
from training.export_card import Card
from training.held_out import Rows

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short QLoRA run: long enough for its adapter to correct the rounding of its base."""
    folder = tmp_path_factory.mktemp("runs")
    base = tiny_chat.save_model(folder / "tiny-chat")
    data = tiny_chat.save_data(folder / "rows", 32, held_out=6)
    settings = {"method": "qlora", "rank": 8, "max_steps": 24, "save_steps": 24, "learning_rate": 0.02}
    config = tiny_chat.save_config(folder / "run.yaml", base, data, folder / "run", **settings)
    adapt.train(configuration.read(config, "sft"), lambda _: None)
    return folder / "run"


@pytest.fixture(scope="module")
def rows(run: Path) -> Rows:
    found = finished.read(run)
    tokenizer, stops = finished.tokenizer(found.base)
    assert found.data is not None
    return held_out.read(found.data / "validation.jsonl", tokenizer, stops, 256)


def exported(run: Path, kind: str, out: Path, **more: Any) -> Card:
    return export.export(Wanted(run=run, kind=kind, out=out, **more), lambda _: None)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(torch.arange(5, 60)[None]).logits.float()
    return found


def test_merged_into_its_dequantised_base_an_adapter_keeps_what_it_learned(run: Path, rows: Rows, tmp_path: Path) -> None:
    card = exported(run, "merged", tmp_path / "merged")
    assert abs(card.loss_after - card.loss_before) < 0.01
    assert card.greedy_same >= 4  # of five; bfloat16 may tip one near tie
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", quantization_config=nf4_config(), dtype=torch.bfloat16)
    plain = finished.on_top(finished.read(run), AutoModelForCausalLM.from_pretrained(finished.read(run).base))
    rounded_again, on_plain_base = (held_out.measure(model, rows).value for model in (again, plain))
    assert rounded_again > card.loss_after + 0.01  # rounding the merged weights to NF4 loses what was learned
    assert on_plain_base > card.loss_after + 0.01  # and so does a base that was never rounded


def test_a_merged_model_answers_and_keeps_its_contract(run: Path, tmp_path: Path) -> None:
    card = exported(run, "merged", tmp_path / "merged")
    writer = LocalModel(str(tmp_path / "merged"), max_new_tokens=4, temperature=0.0)
    assert writer.describe()["adapter"] is None
    said = contract.read(tmp_path / "merged")
    assert said is not None
    assert said["base"]["weights"] == contract.weights_hash(str(tmp_path / "merged"))
    assert said["exported_from"]["weights"] == card.base["weights"]
    assert json.loads((tmp_path / "merged" / "export.json").read_text())["adapter"] == card.adapter
    assert "| held-out loss of the assistant's words, 6 rows |" in (tmp_path / "merged" / "card.md").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merged"]


def test_an_adapter_is_judged_on_both_kinds_of_base(run: Path, tmp_path: Path) -> None:
    card = exported(run, "adapter", tmp_path / "adapter")
    assert card.loss_after == card.loss_before
    assert card.on_plain_base is not None
    assert card.on_plain_base > card.loss_after + 0.01
    LocalModel(finished.read(run).base, str(tmp_path / "adapter"), max_new_tokens=4, temperature=0.0)


def test_eight_bits_are_loaded_back_by_transformers(run: Path, tmp_path: Path) -> None:
    card = exported(run, "int8", tmp_path / "int8")
    assert card.cost.value < 0.02
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "int8")
    assert model.is_loaded_in_8bit
    assert card.bytes_after < 0.8 * card.bytes_before


def test_an_export_that_got_worse_is_refused_and_leaves_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MOST_WORSE", 0.005)
    with pytest.raises(BadInput, match=r"loss of the nf4 export is \d\.\d+, and \d\.\d+ as trained: more than 0\.005 above"):
        exported(run, "nf4", tmp_path / "nf4")
    assert list(tmp_path.iterdir()) == []
    card = exported(run, "nf4", tmp_path / "nf4", allow_worse=True)
    assert card.cost.value > 0.005
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "nf4").is_loaded_in_4bit


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
@pytest.mark.parametrize(("stored", "near"), [("f16", 0.01), ("q8_0", 0.2)])
def test_a_gguf_file_read_back_gives_the_same_logits_and_tokens(tmp_path: Path, kind: str, stored: str, near: float) -> None:
    pytest.importorskip("gguf", reason="GGUF files are written with the package gguf")
    folder = tiny_chat.save_model(tmp_path / "model", kind=kind)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for name, weight in model.named_parameters():
        if name.endswith("proj.bias"):  # Qwen2 begins with biases of zero, which would hide a lost one
            torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(0))
    file = gguf_file.write(folder, model, tokenizer, tmp_path / f"{kind}.gguf", stored)
    back = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=file.name, dtype=torch.float32)
    assert float((logits(model) - logits(back)).abs().max()) < near
    assert gguf_file.check_tokenizer(file, tokenizer).chat_template == tokenizer.chat_template
    names = ("max_position_embeddings", "num_key_value_heads", "rope_parameters")
    assert [getattr(back.config, name) for name in names] == [getattr(model.config, name) for name in names]
    assert back.config.rms_norm_eps == pytest.approx(model.config.rms_norm_eps)


def test_a_run_becomes_a_gguf_file_that_lost_nothing(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="GGUF files are written with the package gguf")
    card = exported(run, "gguf", tmp_path / "gguf")
    assert (tmp_path / "gguf" / "run-q8_0.gguf").is_file()
    assert abs(card.cost.value) < 0.02
    assert card.bytes_after < 0.4 * card.bytes_before


def test_the_way_a_tokenizer_splits_text_is_named_or_refused(tmp_path: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_chat.save_model(tmp_path / "model"))
    assert gguf_file.splitting(tmp_path, tokenizer) == "gpt-2"
    for name in ("qwen2", "llama-bpe"):
        tokenizer.backend_tokenizer.pre_tokenizer = splits(GGUF_PRE_TOKENIZER_SPLITS[name])
        assert gguf_file.splitting(tmp_path, tokenizer) == name
    tokenizer.backend_tokenizer.pre_tokenizer = splits(r"\w+")
    with pytest.raises(BadInput, match="splits text by a pattern that is not among those of GPT-2, Qwen2 and Llama 3"):
        gguf_file.splitting(tmp_path, tokenizer)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    with pytest.raises(BadInput, match="its tokenizer is not byte-level BPE"):
        gguf_file.splitting(tmp_path, tokenizer)


def splits(pattern: str) -> pre_tokenizers.PreTokenizer:
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def test_a_model_that_gguf_could_not_hold_whole_is_refused(tmp_path: Path) -> None:
    folder = tiny_chat.save_model(tmp_path / "model", kind="llama")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    model.config.rope_parameters = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}
    with pytest.raises(BadInput, match=r"positions are scaled \(linear\).*convert_hf_to_gguf\.py"):
        gguf_file.check(folder, model.config, tokenizer)
    model.config.model_type = "mamba"
    with pytest.raises(BadInput, match=r"a mamba model is none of llama, qwen2"):
        gguf_file.check(folder, model.config, tokenizer)


def test_the_layer_that_does_nothing_is_the_one_left_out(rows: Rows) -> None:
    model = PruneMe().model
    assert pruning.least_needed(model, rows, 1) == (1,)
    before = logits(model)
    pruned = pruning.without(model, (1,))
    assert torch.allclose(logits(pruned), before, atol=1e-5)
    assert pruned.config.num_hidden_layers == 2
    ids = pruned.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=3, do_sample=False)
    assert ids.shape[1] > 3
    with pytest.raises(BadInput, match="2 of 2 layers cannot be left out"):
        pruning.least_needed(pruned, rows, 2)


class PruneMe:
    """A model of three layers whose middle one passes its input on unchanged."""

    def __init__(self) -> None:
        from transformers import Qwen2Config, Qwen2ForCausalLM

        torch.manual_seed(0)
        size = {"hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
        self.model = Qwen2ForCausalLM(Qwen2Config(vocab_size=384, num_hidden_layers=3, initializer_range=0.2, **size)).eval()
        for name, weight in self.model.model.layers[1].named_parameters():
            if "o_proj" in name or "down_proj" in name:
                torch.nn.init.zeros_(weight)


def test_a_pruned_run_is_a_model_that_can_be_trained_further(run: Path, tmp_path: Path) -> None:
    card = exported(run, "pruned", tmp_path / "pruned", layers=1)
    assert len(card.dropped_layers) == 1
    assert card.cost.value > 0
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "pruned")
    assert isinstance(model, PreTrainedModel)
    assert len(model.model.layers) == 1
    said = finished.read(run)
    assert said.data is not None
    config = tiny_chat.save_config(tmp_path / "heal.yaml", tmp_path / "pruned", said.data, tmp_path / "healed", max_steps=4)
    adapt.train(configuration.read(config, "sft"), lambda _: None)
    healed = finished.as_trained(finished.read(tmp_path / "healed"))
    tokenizer, stops = finished.tokenizer(str(tmp_path / "pruned"))
    rows = held_out.read(said.data / "validation.jsonl", tokenizer, stops, 256)
    assert held_out.measure(healed, rows).value < card.loss_after


def test_a_run_is_judged_by_the_rows_of_its_own_kind(run: Path, tmp_path: Path) -> None:
    text = {"id": "t", "group": "t", "kind": "pretraining", "text": "Rotate beans with maize."}
    chat = tiny_chat.row(50)
    (tmp_path / "both.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in (text, chat)), encoding="utf-8")
    tokenizer, stops = finished.tokenizer(finished.read(run).base)
    chats, texts = (held_out.read(tmp_path / "both.jsonl", tokenizer, stops, 256, kind) for kind in ("sft", "pretrain"))
    assert (chats.groups, texts.groups) == ((chat["group"],), ("t",))
    assert (chats.left_out, texts.left_out) == (0, 0)


def test_a_folder_that_is_no_run_is_one_sentence_each(run: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"is no run: it has no run\.json"):
        exported(tmp_path, "merged", tmp_path / "out")
    (tmp_path / "config.yaml").write_text("{}")
    with pytest.raises(BadInput, match="is not finished: what it learns is not written yet"):
        exported(tmp_path, "merged", tmp_path / "out")
    (tmp_path / "run.json").write_text('{"kind": "photos"}')
    with pytest.raises(BadInput, match="is a run of another kind"):
        exported(tmp_path, "merged", tmp_path / "out")
    with pytest.raises(BadInput, match="is there already: an export never overwrites"):
        exported(run, "merged", tmp_path)
    with pytest.raises(BadInput, match="--layers and --to pruned go together"):
        exported(run, "merged", tmp_path / "out", layers=1)
    with pytest.raises(BadInput, match="there are no held-out rows at"):
        exported(run, "merged", tmp_path / "out", check=tmp_path / "none.jsonl")


def test_an_adapter_of_another_base_and_a_lost_base_are_one_sentence_each(run: Path, tmp_path: Path) -> None:
    other = tiny_chat.save_model(tmp_path / "other", seed=8)
    with pytest.raises(ModelMissing, match=r"was trained on 'tiny-chat', whose weights are not those of .*other"):
        exported(run, "merged", tmp_path / "out", base=str(other))
    with pytest.raises(ModelMissing, match=r"the base model of the run, '/nowhere/model', is not there"):
        exported(run, "merged", tmp_path / "out", base="/nowhere/model")


def test_files_changed_after_the_export_break_the_contract(run: Path, tmp_path: Path) -> None:
    exported(run, "merged", tmp_path / "merged")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    tokenizer.chat_template = tiny_chat.CHATML.replace("assistant\n", "assistant:\n")
    tokenizer.save_pretrained(tmp_path / "merged")
    with pytest.raises(ModelMissing, match="writes a conversation in other tokens"):
        formats.check_contract("merged", finished.read(run), tmp_path / "merged")


def test_a_full_disk_is_one_sentence_before_and_in_the_middle(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 20, 1 << 20, 1000))  # type: ignore[attr-defined]
        with pytest.raises(BadInput, match=r"the export takes about \d+ KiB, and 1000 B are free"):
            exported(run, "merged", tmp_path / "out")

    def full(*_: Any, **__: Any) -> None:  # what the library that writes the weights says of a full disk
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("transformers.modeling_utils.safe_save_file", full)
    with pytest.raises(TrainingStopped, match=r"the disk of .*out is full: the export could not be written"):
        exported(run, "merged", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_an_export_costs_and_ends_with_1_where_it_is_refused(run: Path, tmp_path: Path) -> None:
    from ui.cli import app
    from ui.commands.exporting import GgufType, Kind

    assert ([*Kind], [*GgufType]) == ([*formats.KINDS], [*gguf_file.TYPES])
    said = CliRunner().invoke(app, ["export", str(run), "--to", "merged", "--out", str(tmp_path / "out")])
    assert said.exit_code == 0, said.output
    assert "| as trained | exported | difference |" in said.stdout
    again = CliRunner().invoke(app, ["export", str(run), "--to", "merged", "--out", str(tmp_path / "out")])
    assert again.exit_code == 1
    assert isinstance(again.exception, AgriError | SystemExit)
