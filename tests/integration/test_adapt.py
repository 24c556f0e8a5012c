"""Training of language models with tiny real ones: every method, what it leaves behind, and that answering takes it up."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import tiny_chat
import torch
import yaml
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from agri_llm.errors import BadInput, ModelMissing, TrainingStopped
from agri_llm.language import contract
from agri_llm.language.brief import Brief
from agri_llm.language.local import LocalModel
from agri_llm.prompts import PROMPT_HASH
from agri_llm.records import Question
from training import adapt, configuration, rehearsal, run_files
from training.configuration import Kind, Training
from training.contract import GREEDY, GREEDY_TOKENS
from training.methods import METHODS

pytestmark = pytest.mark.usefixtures("one_thread")
ADAPTERS = [method for method in METHODS if method != "full"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_chat.save_model(tmp_path_factory.mktemp("models") / "tiny-chat")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_chat.save_data(tmp_path_factory.mktemp("data") / "rows")


@pytest.fixture(scope="module")
def runs(base: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(base, data, tmp_path_factory.mktemp("runs"))


class Runs:
    """One short run of each method, made when it is first asked for."""

    def __init__(self, base: Path, data: Path, folder: Path) -> None:
        self.base, self.data, self.folder = base, data, folder
        self.told: dict[str, list[str]] = {}

    def out(self, method: str) -> Path:
        out = self.folder / method
        if method not in self.told:
            self.told[method] = []
            adapt.train(self.settings(method), self.told[method].append)
        return out

    def settings(self, method: str) -> Training:
        strong = 0.3 if METHODS[method].virtual or method == "ia3" else 0.01  # few numbers learn with long steps alone
        return read(self.base, self.data, self.folder / method, method=method, learning_rate=strong)


def read(base: Path, data: Path, out: Path, kind: Kind = "sft", **settings: Any) -> Training:
    out.parent.mkdir(parents=True, exist_ok=True)
    return configuration.read(tiny_chat.save_config(out.with_suffix(".yaml"), base, data, out, **settings), kind)


def losses(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "losses.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def about(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "run.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_and_writes_a_finished_run(runs: Runs, method: str) -> None:
    out = runs.out(method)
    said, curve = about(out), losses(out)
    assert len(curve) == 6
    assert curve[-1] < curve[0]
    assert said["tokens_per_second"] > 0
    assert said["tokens_seen"] > said["tokens_trained"] > 6 * 4 * 5  # steps, rows a step, fewest tokens of an answer
    assert (said["first_loss"], said["last_loss"], said["steps"]) == (curve[0], curve[-1], 6)
    assert (said["kind"], said["seed"], said["prompt_hash"], said["rejected"]) == ("sft", 0, PROMPT_HASH, {})
    assert said["data"].keys() == {"train.jsonl", "validation.jsonl", "manifest.json"}
    assert {"torch", "peft", "trl", "bitsandbytes"} <= said["versions"].keys()
    assert list((out / "tensorboard").glob("events*"))
    assert not list((out / ("model" if method == "full" else "adapter")).glob("*.bin"))


def test_an_adapter_that_learned_other_requests_is_refused(runs: Runs, tmp_path: Path) -> None:
    adapter = Path(shutil.copytree(runs.out("lora") / "adapter", tmp_path / "adapter"))
    said = contract.read(adapter)
    for prompts, refused in (("0" * 64, True), (None, False)):  # none: it read documents
        (adapter / contract.FILE).write_text(json.dumps({**(said or {}), "prompt_hash": prompts}), encoding="utf-8")
        with pytest.raises(ModelMissing, match="learned to answer other requests") if refused else nullcontext():
            LocalModel(str(runs.base), str(adapter), max_new_tokens=8, temperature=0.0)


@pytest.mark.parametrize("method", [method for method in ADAPTERS if method != "qlora"])
def test_answering_takes_up_the_adapter_and_writes_what_the_trainer_wrote(runs: Runs, method: str) -> None:
    out = runs.out(method)
    writer = LocalModel(str(runs.base), str(out / "adapter"), max_new_tokens=GREEDY_TOKENS, temperature=0.0)
    said = contract.read(out / "adapter")
    assert said is not None
    assert said["prompt_hash"] == PROMPT_HASH
    for expected in said["greedy"]:
        messages = ({"role": "user", "content": expected["question"]},)
        brief = Brief(question=Question(text=expected["question"]), intent="act", hits=(), messages=messages)
        assert "".join(writer.stream(brief)) == expected["text"]
    assert [each["question"] for each in said["greedy"]] == list(GREEDY)


def test_answering_takes_up_an_adapter_of_a_four_bit_base(runs: Runs) -> None:
    out = runs.out("qlora")
    assert LocalModel(str(runs.base), str(out / "adapter"), max_new_tokens=4, temperature=0.0).adapter == out.name
    assert "14 layers of the base in NF4" in "".join(runs.told["qlora"])  # seven in each of two layers, never the head


def test_answering_takes_up_a_whole_model(runs: Runs) -> None:
    model = runs.out("full") / "model"
    assert LocalModel(str(model), max_new_tokens=4, temperature=0.0).describe()["dtype"] == "float32"
    assert not torch.equal(
        load_file(model / "model.safetensors")["lm_head.weight"], load_file(runs.base / "model.safetensors")["lm_head.weight"]
    )


@pytest.mark.parametrize("method", ["qlora", "lora", "rslora"])
def test_an_adapter_holds_its_own_two_matrices_and_nothing_of_the_base(runs: Runs, method: str) -> None:
    weights = load_file(runs.out(method) / "adapter" / "adapter_model.safetensors")
    assert len(weights) == 2 * 7 * 2
    assert all("lora_A" in name or "lora_B" in name for name in weights)
    assert {weight.dtype for weight in weights.values()} == {torch.float32}


@pytest.mark.parametrize("method", ADAPTERS)
def test_without_its_adapter_the_model_is_the_base(runs: Runs, method: str) -> None:
    plain = AutoModelForCausalLM.from_pretrained(runs.base)
    ids = torch.arange(5, 40)[None]
    with torch.no_grad():
        expected = plain(ids).logits
        adapted = PeftModel.from_pretrained(plain, str(runs.out(method) / "adapter")).eval()
        changed = adapted(ids).logits[:, -ids.shape[1] :]
        with adapted.disable_adapter():
            assert torch.equal(adapted(ids).logits, expected)
    assert float((changed - expected).abs().max()) > 1e-3


def test_nearly_every_number_of_an_adapter_on_four_bits_moves_even_with_small_steps(
    base: Path, data: Path, tmp_path: Path
) -> None:
    training = read(
        base, data, tmp_path / "slow", method="qlora", learning_rate=5e-6, lr_scheduler_type="constant", warmup_steps=0
    )
    tokenizer, _, stops = adapt.load_tokenizer(training)
    trainer = adapt.build(training, adapt._tokens(training, tokenizer, stops), tokenizer, lambda _: None)
    begun = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters() if "lora_A" in name}
    trainer.train()
    moved = [(weight != begun[name]).float().mean() for name, weight in trainer.model.named_parameters() if name in begun]
    assert len(moved) == 14
    assert float(torch.stack(moved).mean()) > 0.9  # bfloat16: 0.02 (noted for this learning rate)


def test_an_evaluation_in_the_middle_leaves_gradients_as_they_were(base: Path, data: Path, tmp_path: Path) -> None:
    """On processors with AVX512-BF16, bitsandbytes packs four-bit layers at an evaluation and no gradient gets through."""
    plain, judged = (
        read(base, data, tmp_path / name, method="qlora", **more)
        for name, more in (("plain", {}), ("judged", {"eval_strategy": "steps", "eval_steps": 1}))
    )
    for training in (plain, judged):
        adapt.train(training, lambda _: None)
    assert losses(plain.out) == losses(judged.out)
    assert len(about(judged.out)["held_out_losses"]) == 6


def test_the_same_seed_gives_the_same_losses_and_another_does_not(base: Path, data: Path, tmp_path: Path, runs: Runs) -> None:
    first = losses(runs.out("lora"))
    for name, seed in (("again", 0), ("other", 1)):
        adapt.train(read(base, data, tmp_path / name, learning_rate=0.01, seed=seed), lambda _: None)
    assert losses(tmp_path / "again") == first
    assert losses(tmp_path / "other") != first


def test_muon_learns_and_goes_on_from_a_checkpoint_as_if_nothing_had_happened(base: Path, data: Path, tmp_path: Path) -> None:
    plan = {"method": "full", "muon": True, "learning_rate": 0.01, "save_steps": 3, "max_steps": 6}
    whole = read(base, data, tmp_path / "whole", **plan)
    adapt.train(whole, lambda _: None)
    halved = read(base, data, tmp_path / "halved", **plan)
    shutil.copytree(whole.out, halved.out)
    for made in ("run.json", "model", "steps/checkpoint-6"):
        path = halved.out / made
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    adapt.train(halved, lambda _: None)
    assert losses(halved.out) == losses(whole.out)
    assert losses(whole.out)[-1] < losses(whole.out)[0]
    groups = torch.load(whole.out / "steps" / "checkpoint-6" / "optimizer.pt", weights_only=True)["param_groups"]
    assert [group["use_muon"] for group in groups] == [True, False, False]


def test_muon_is_refused_where_not_whole_matrices_learn(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="sets muon with method lora"):
        read(base, data, tmp_path / "run", method="lora", muon=True)


def test_pretraining_learns_from_every_token_of_long_documents(base: Path, tmp_path: Path) -> None:
    data = tiny_chat.save_data(tmp_path / "texts", 24, kind="pretrain")
    training = read(base, data, tmp_path / "run", "pretrain", packing=True, max_length=64, per_device_train_batch_size=2)
    assert training.args.packing_strategy == "bfd_split"
    tokenizer, _, stops = adapt.load_tokenizer(training)
    tokens = adapt._tokens(training, tokenizer, stops)
    assert tokens.longest > 64
    trainer = adapt.build(training, tokens, tokenizer, lambda _: None)
    assert sum(len(row["input_ids"]) for row in trainer.train_dataset) == sum(
        len(row["input_ids"]) for row in tokens.rows["train"]
    )
    adapt.train(training, lambda _: None)
    assert about(training.out)["last_loss"] < about(training.out)["first_loss"]


@pytest.mark.parametrize(("kind", "packing"), [("sft", False), ("sft", True), ("pretrain", True)])
def test_a_run_says_how_many_tokens_it_saw_and_learned_from(base: Path, tmp_path: Path, kind: Kind, packing: bool) -> None:
    data = tiny_chat.save_data(tmp_path / "rows", kind=kind)
    training = read(base, data, tmp_path / "run", kind, packing=packing, max_steps=-1, num_train_epochs=2)
    tokenizer, _, stops = adapt.load_tokenizer(training)
    rows = adapt._tokens(training, tokenizer, stops).rows["train"]
    adapt.train(training, lambda _: None)
    assert about(training.out)["tokens_seen"] == 2 * sum(len(row["input_ids"]) for row in rows)
    expected = 2 * sum(label != -100 for row in rows for label in row["labels"][1:])
    assert about(training.out)["tokens_trained"] == expected


def test_training_stops_early_and_keeps_the_best_step(base: Path, data: Path, tmp_path: Path) -> None:
    settings = {
        "eval_strategy": "steps",
        "eval_steps": 1,
        "save_steps": 1,
        "max_steps": 40,
        "patience": 2,
        "learning_rate": 5.0,
    }
    training = read(
        base,
        data,
        tmp_path / "run",
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        **settings,
    )
    adapt.train(training, lambda _: None)
    said = about(training.out)
    assert said["steps"] < 40
    assert said["held_out_losses"][said["best_step"] - 1] == min(said["held_out_losses"])


def test_a_finished_run_is_not_trained_again(runs: Runs) -> None:
    runs.out("lora")
    with pytest.raises(BadInput, match=r"is finished: training it again would overwrite it"):
        adapt.train(runs.settings("lora"), lambda _: None)


def test_an_unfinished_run_goes_on_with_its_own_settings_alone(runs: Runs, tmp_path: Path) -> None:
    out = shutil.copytree(runs.out("lora"), tmp_path / "lora")
    (out / "run.json").unlink()
    before = yaml.safe_load((out / "config.yaml").read_text(encoding="utf-8"))
    with pytest.raises(BadInput, match=r"was begun with rank=4, not 8"):
        run_files.begin(out, {**before, "rank": 8})
    run_files.begin(out, before)
    shutil.rmtree(out / "steps")
    run_files.begin(out, {**before, "rank": 8})  # nothing was learned yet
    assert yaml.safe_load((out / "config.yaml").read_text(encoding="utf-8"))["rank"] == 8


@pytest.mark.parametrize("missing", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"])
def test_a_checkpoint_without_all_that_going_on_needs_is_not_taken_up(runs: Runs, tmp_path: Path, missing: str) -> None:
    shutil.copytree(runs.out("lora") / "steps", tmp_path / "steps")
    newest = tmp_path / "steps" / "checkpoint-6"
    assert run_files.last_step(tmp_path) == newest
    (newest / missing).unlink()
    assert run_files.last_step(tmp_path) == tmp_path / "steps" / "checkpoint-3"
    assert not newest.exists()


def test_a_loss_that_is_no_number_stops_the_training(base: Path, data: Path, tmp_path: Path) -> None:
    training = read(
        base, data, tmp_path / "run", learning_rate=1e30, max_grad_norm=0.0, lr_scheduler_type="constant", warmup_steps=0
    )
    with pytest.raises(BadInput, match=r"(loss|grad_norm) is (nan|inf) at step \d: the weights are spoiled"):
        adapt.train(training, lambda _: None)
    assert not (training.out / "run.json").exists()


def test_a_disk_without_room_is_refused_before_the_first_step(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"copies of what is learned take .* GiB, and .* are free"):
        adapt.train(read(base, data, tmp_path / "run", save_total_limit=10**12), lambda _: None)


def test_a_card_that_is_too_small_is_refused_before_the_first_step(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"needs about 0\.6\d GiB and there are 0\.00: .*`agri train plan` says"):
        adapt.train(read(base, data, tmp_path / "run", card_gib=1e-6), lambda _: None)


def test_an_adapter_of_another_base_is_refused_in_one_sentence(runs: Runs, tmp_path: Path) -> None:
    other = tiny_chat.save_model(tmp_path / "other-chat", seed=8)
    with pytest.raises(ModelMissing, match=r"was trained on 'tiny-chat', whose weights are not those of .*other-chat"):
        LocalModel(str(other), str(runs.out("lora") / "adapter"), max_new_tokens=4, temperature=0.0)


def test_an_adapter_that_learned_another_template_is_refused_in_one_sentence(runs: Runs, tmp_path: Path) -> None:
    other = shutil.copytree(runs.base, tmp_path / "tiny-chat")
    tokenizer = AutoTokenizer.from_pretrained(other)
    tokenizer.chat_template = tiny_chat.CHATML.replace("assistant\n", "assistant:\n")
    tokenizer.save_pretrained(other)
    with pytest.raises(ModelMissing, match=r"writes a conversation in other tokens than the adapter .* learned \(rendered\)"):
        LocalModel(str(other), str(runs.out("lora") / "adapter"), max_new_tokens=4, temperature=0.0)


def test_virtual_tokens_are_refused_together_with_packing(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"packs rows together with method prefix"):
        read(base, data, tmp_path / "run", method="prefix", packing=True)
    with pytest.raises(BadInput, match=r"method prompt cannot compute activations again"):
        rehearsal.check_steps(read(base, data, tmp_path / "run", method="prompt", gradient_checkpointing=True))


def test_memory_that_runs_out_and_a_missing_model_are_one_sentence_each(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelMissing, match="there is no folder '/nowhere', and nothing could be fetched under this name"):
        adapt.train(read(Path("/nowhere"), data, tmp_path / "run"), lambda _: None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelMissing, match=r"the tokenizer of '.*empty' cannot be loaded"):
        adapt.train(read(tmp_path / "empty", data, tmp_path / "run"), lambda _: None)

    monkeypatch.setattr(rehearsal, "check_batch", lambda _: str(torch.empty(1 << 58)))
    with pytest.raises(TrainingStopped, match=r"memory ran out: .*lower per_device_train_batch_size"):
        adapt.train(read(base, data, tmp_path / "other"), lambda _: None)
