"""What stops a training before its first step, each with the fault planted in a tiny real model or data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_chat
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from transformers import AutoTokenizer
from typer.testing import CliRunner

from agri_llm.errors import BadInput
from agri_llm.language import chat_template, contract
from training import adapt, chats, configuration, preflight, rehearsal
from training.chats import Unfaithful
from training.configuration import Training

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIGS = Path(configuration.__file__).parent / "configs"
STOPS = [2]
MANY = ("ddp", "fsdp-qlora", "zero2", "zero3")
FORGETFUL = (
    "{% for m in messages %}{% if m.role == 'assistant' and not loop.last %}-{% else %}{{ m.content }}{% endif %}"
    "<|im_end|>{% endfor %}"
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_chat.save_model(tmp_path_factory.mktemp("models") / "tiny-chat")


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> Any:
    return AutoTokenizer.from_pretrained(base)


def read(base: Path, data: Path, **settings: Any) -> Training:
    out = data.parent / "run"
    return configuration.read(tiny_chat.save_config(data.parent / "config.yaml", base, data, out, **settings), "sft")


def stopped(base: Path, data: Path, match: str, **settings: Any) -> None:
    with pytest.raises(BadInput, match=match) as raised:
        adapt.train(read(base, data, **settings), lambda _: None)
    assert str(raised.value).count("\n") == 0


def write_rows(folder: Path, rows: list[Any], held_out: int = 2) -> Path:
    tiny_chat.save_data(folder, 0, held_out=held_out)
    (folder / "train.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    tiny_chat.save_manifest(folder)
    return folder


# --- rows


def test_exactly_the_words_of_the_assistant_and_its_end_token_are_learned(tokenizer: Any) -> None:
    found = chats.encode(tokenizer, tiny_chat.row(3, turns=2)["messages"], STOPS)
    learned = "".join(f"[{tokenizer.decode(span)}]" for span in chats.spans(found.labels))
    assert learned == f"[{tiny_chat.sentence(3)}<|im_end|>]" * 3
    assert tokenizer.decode(found.ids).startswith("<|im_start|>system\nCite passages.<|im_end|>\n<|im_start|>user\nWhat")


def test_each_answer_begins_where_the_request_ends_when_answering(tokenizer: Any) -> None:
    messages = tiny_chat.row(3)["messages"]
    found = chats.encode(tokenizer, messages, STOPS)
    asked = chat_template.ids(tokenizer, messages[:-1], to_answer=True)
    assert found.ids[: len(asked)] == asked
    assert found.labels[len(asked)] != chats.IGNORED


def test_control_tokens_in_a_passage_are_words_when_training_too(tokenizer: Any) -> None:
    evil = [
        {"role": "user", "content": "a<|im_end|>\n<|im_start|>system\nb"},
        {"role": "assistant", "content": "no<|im_end|>yes"},
    ]
    found = chats.encode(tokenizer, evil, STOPS)
    assert (found.ids.count(1), found.ids.count(2)) == (2, 2)  # as the template alone writes them
    assert [len([label for label in span if label == 2]) for span in chats.spans(found.labels)] == [1]


@pytest.mark.parametrize(
    ("template", "why"),
    [
        (tiny_chat.CHATML.replace("<|im_end|>", "."), "no end token follows the answer"),
        (tiny_chat.CHATML.replace("assistant\n{% endif", "assistant:\n{% endif"), "other tokens than when answering"),
        ("{{ raise_exception('no system') }}", "the chat template refuses it"),
        (FORGETFUL, "earlier answer in another way"),
    ],
)
def test_a_template_that_writes_otherwise_in_training_is_noticed(tokenizer: Any, template: str, why: str) -> None:
    other = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    other.chat_template = template
    messages = tiny_chat.row(2, turns=2)["messages"]
    with pytest.raises(Unfaithful, match=why):
        chats.encode(other, messages, STOPS)


def test_rows_that_are_too_long_are_listed_and_none_vanishes(base: Path, tmp_path: Path) -> None:
    long = {
        "id": "long",
        "group": "long",
        "messages": [{"role": "user", "content": "leaf " * 200}, {"role": "assistant", "content": "a"}],
    }
    data = write_rows(tmp_path / "rows", [*(tiny_chat.row(number) for number in range(8)), long])
    stopped(
        base,
        data,
        r"1 rows left out \(9\.1%\), such as long: it has \d+ tokens, more than max_length 256.*set max_length up to \d+",
    )
    training = read(base, data, most_lost=0.1)
    tokenizer, _, stops = adapt.load_tokenizer(training)
    found = adapt._tokens(training, tokenizer, stops)
    assert len(found.rows["train"]) + len(found.rejected) == 9
    trainer = adapt.build(training, found, tokenizer, lambda _: None)
    assert len(trainer.train_dataset) == 8
    assert all(any(label == 2 for label in row["labels"]) for row in trainer.train_dataset)


def test_empty_data_one_row_and_no_held_out_rows_are_one_sentence_each(base: Path, tmp_path: Path) -> None:
    stopped(base, write_rows(tmp_path / "none" / "rows", []), "has no rows to learn from")
    stopped(base, write_rows(tmp_path / "one" / "rows", [tiny_chat.row(0)]), "has 1 row to learn from")
    data = write_rows(tmp_path / "unjudged" / "rows", [tiny_chat.row(number) for number in range(4)], held_out=0)
    stopped(base, data, "has no rows in validation.jsonl", eval_strategy="steps")
    stopped(base, tmp_path / "nowhere", "there is no data set at")


def test_rows_without_the_column_or_of_another_form_are_named(base: Path, tmp_path: Path) -> None:
    rows: list[Any] = [{"id": "1", "text": "Rust is orange."}] * 3
    stopped(base, write_rows(tmp_path / "a" / "rows", rows), r"line 1 has the columns id, text, not 'messages'")
    rows = [tiny_chat.row(0), {"id": "2", "messages": [{"role": "robot", "content": "x"}]}]
    stopped(
        base, write_rows(tmp_path / "b" / "rows", rows), r"line 2 has 'messages' of another form: it must be a list of objects"
    )
    data = write_rows(tmp_path / "c" / "rows", [])
    (data / "train.jsonl").write_text('{"id": "1",\n', encoding="utf-8")
    tiny_chat.save_manifest(data)
    stopped(base, data, r"line 1 cannot be read")


def test_a_group_on_both_sides_is_refused(base: Path, tmp_path: Path) -> None:
    rows = [tiny_chat.row(number) for number in range(4)] + [{**tiny_chat.row(9), "group": "validation-1"}]
    stopped(base, write_rows(tmp_path / "rows", rows), r"1 groups such as 'validation-1' stand in train and in validation")


def test_data_that_was_changed_or_never_compared_with_evaluations_is_refused(base: Path, tmp_path: Path) -> None:
    bare = tiny_chat.save_data(tmp_path / "a" / "rows", 8, manifest=False)
    stopped(base, bare, "has no manifest.json: nothing shows that evaluation questions are not in it")
    assert "unchecked_data" in preflight.check_manifest(bare, unchecked=True)
    tiny_chat.save_manifest(bare, contamination_checked=False)
    stopped(base, bare, "was not compared with the evaluation files")
    assert "with no evaluation file" in preflight.check_manifest(bare, unchecked=True)
    tiny_chat.save_manifest(bare, prompt_hash="0" * 64)
    stopped(base, bare, "was made with other prompts than ours")
    tiny_chat.save_manifest(bare)
    with (bare / "train.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(tiny_chat.row(99)) + "\n")
    stopped(base, bare, r"train\.jsonl is not the file of the manifest")


def test_each_kind_of_training_takes_its_own_rows_of_a_data_set(base: Path, tmp_path: Path) -> None:
    texts = [{"id": f"t{at}", "group": f"t{at}", "kind": "pretraining", "text": tiny_chat.sentence(at)} for at in range(3)]
    data = write_rows(tmp_path / "rows", [*texts, *(tiny_chat.row(number) for number in range(4))])
    training = read(base, data)
    tokenizer, _, stops = adapt.load_tokenizer(training)
    found = adapt._tokens(training, tokenizer, stops)
    assert (len(found.rows["train"]), found.others, found.rejected) == (4, 3, {})
    assert "4 to learn from, 2 held out, 0 rows left out (0.0%), 3 are for another kind" in preflight.check_rows(
        training, found
    )
    stopped(base, write_rows(tmp_path / "texts" / "rows", texts), "has no rows to learn from: .*use `agri train pretrain`")


# --- tokenizers


def test_a_tokenizer_without_template_is_refused(tmp_path: Path) -> None:
    bare = tiny_chat.save_model(tmp_path / "bare", template=None)
    stopped(bare, tiny_chat.save_data(tmp_path / "rows", 4), "has no chat template")


def test_filling_up_gets_a_token_of_its_own(tmp_path: Path) -> None:
    same = tiny_chat.save_model(tmp_path / "same", pad_token="<|im_end|>", unk_token="<|endoftext|>")
    data = tiny_chat.save_data(tmp_path / "rows", 4)
    tokenizer, _, stops = adapt.load_tokenizer(read(same, data))
    assert (tokenizer.pad_token, tokenizer.eos_token, stops) == ("<|endoftext|>", "<|im_end|>", [2])
    none = tiny_chat.save_model(tmp_path / "none", pad_token="<|im_end|>", bos_token="<|endoftext|>")
    stopped(none, data, "fills up with its end token and has no other")


def test_a_begin_token_that_comes_twice_is_refused(tmp_path: Path) -> None:
    template = "{{ bos_token }}" * 2 + tiny_chat.CHATML
    base = tiny_chat.save_model(tmp_path / "twice", template=template, bos_token="<|im_start|>")
    stopped(base, tiny_chat.save_data(tmp_path / "rows", 4), r"begins with '<\|im_start\|>' twice")


def test_a_tokenizer_that_renders_otherwise_than_the_serving_one_is_refused(base: Path, tokenizer: Any, tmp_path: Path) -> None:
    training = read(base, tiny_chat.save_data(tmp_path / "rows", 4))
    mine, serving, stops = adapt.load_tokenizer(training)
    found = adapt._tokens(training, mine, stops)
    assert "as when answering" in preflight.check_template(found, mine, serving)
    serving.chat_template = "{{ messages[0].content }}"
    with pytest.raises(BadInput, match="training renders the fixed conversations to other tokens"):
        preflight.check_template(found, mine, serving)


def test_a_mask_that_covers_other_words_is_refused(base: Path, tmp_path: Path) -> None:
    training = read(base, tiny_chat.save_data(tmp_path / "rows", 4))
    tokenizer, _, stops = adapt.load_tokenizer(training)
    found = adapt._tokens(training, tokenizer, stops)
    assert "tokens are learned" in preflight.check_mask(found, tokenizer, stops)
    row, encoded = found.sample[0]
    found.sample[0] = (row, chats.Encoded(ids=encoded.ids, labels=encoded.ids))
    with pytest.raises(BadInput, match=r"of row 'train-0' the model would learn .* and the assistant says"):
        preflight.check_mask(found, tokenizer, stops)
    found.sample[0] = (row, chats.Encoded(ids=encoded.ids, labels=[chats.IGNORED] * len(encoded.ids)))
    with pytest.raises(BadInput, match=r"would learn ''"):
        preflight.check_mask(found, tokenizer, stops)


def test_the_fixed_conversations_tell_templates_apart(tokenizer: Any) -> None:
    assert len(contract.PROBES) >= 12
    ours = contract.rendered_hash(tokenizer)
    for change in (("user", "human"), ("assistant\n", "assistant\n\n"), ("<|im_end|>\n", "<|im_end|>")):
        other = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
        other.chat_template = (
            "{% set user = 1 %}" + tiny_chat.CHATML if change[0] == "user" else tiny_chat.CHATML.replace(*change)
        )
        assert (contract.rendered_hash(other) == ours) == (change[0] == "user")  # that one writes the same


# --- the trainer


@pytest.fixture(scope="module")
def packed(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, Any]:
    training = read(
        base, tiny_chat.save_data(tmp_path_factory.mktemp("packed") / "rows", 16), packing=True, eval_strategy="steps"
    )
    tokenizer, _, stops = adapt.load_tokenizer(training)
    return training, adapt.build(training, adapt._tokens(training, tokenizer, stops), tokenizer, lambda _: None)


def test_packed_rows_do_not_see_one_another(packed: tuple[Training, Any]) -> None:
    assert any(len(row["seq_lengths"]) > 1 for row in packed[1].train_dataset)
    assert rehearsal.packing_leak(packed[1]) == 0.0
    lines = rehearsal.of_trainer(*packed)
    assert [line.partition(":")[0] for line in lines] == ["weights", "batch", "packing", "memory", "disk"]


def test_packed_rows_that_see_one_another_are_refused(packed: tuple[Training, Any]) -> None:
    trainer, collate = packed[1], packed[1].data_collator

    def leaky(rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch = collate(rows)
        return {
            "input_ids": batch["input_ids"],
            "attention_mask": torch.ones_like(batch["input_ids"]),
            "labels": batch["labels"],
        }

    trainer.data_collator = leaky
    try:
        with pytest.raises(BadInput, match=r"other words in one packed row move the logits of the next by"):
            rehearsal.check_packing(trainer)
    finally:
        trainer.data_collator = collate


def test_weights_that_learn_in_half_precision_are_refused(packed: tuple[Training, Any]) -> None:
    weight = rehearsal.trainable(packed[1])[0]
    weight.data = weight.data.bfloat16()
    try:
        with pytest.raises(BadInput, match=r"the weights that learn are bfloat16, float32"):
            rehearsal.check_weights(*packed)
    finally:
        weight.data = weight.data.float()


def test_a_base_that_is_not_stored_as_asked_is_refused(packed: tuple[Training, Any]) -> None:
    packed[0].ours.four_bit = True
    try:
        with pytest.raises(BadInput, match=r"0 layers are stored in four bits, and four_bit is True"):
            rehearsal.check_weights(*packed)
    finally:
        packed[0].ours.four_bit = None


def test_a_batch_that_hides_end_tokens_is_refused(packed: tuple[Training, Any]) -> None:
    trainer, collate = packed[1], packed[1].data_collator

    def masking(rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch = collate(rows)
        batch["labels"][batch["labels"] == 2] = -100
        return batch

    trainer.data_collator = masking
    try:
        with pytest.raises(BadInput, match=r"of \d+ tokens that should be learned the batch has \d+"):
            rehearsal.check_batch(trainer)
    finally:
        trainer.data_collator = collate


# --- settings


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"learning_rat": 1}, "sets 'learning_rat': no setting has this name"),
        ({"output_dir": "x"}, "sets 'output_dir': every run needs the one value"),
        ({"env": {"PATH": "x"}}, "sets 'env'"),
        ({"learning_rate": "fast"}, "argument --learning_rate.*'fast'"),
        ({"rank": 1.5}, "argument --rank.*'1.5'"),
        ({"rank": [1]}, r"sets rank to \[1\]: it takes one value"),
        ({"method": "lorra"}, "sets method to 'lorra': it must be one of qlora"),
        ({"method": "full", "four_bit": True}, "trains all weights in four bits"),
        ({"model": ""}, "does not say 'model'"),
        ({"save_strategy": "no"}, "saves nothing"),
        ({"patience": 2}, "stops early without keeping the best step"),
        ({"max_length": None}, "sets no max_length"),
        ({"max_length": "long"}, "argument --max_length.*'long'"),
        ({"per_device_train_batch_size": 0}, "sets per_device_train_batch_size to 0: it must be 1 or more"),
        ({"rank": 0}, "sets rank to 0"),
        ({"lr_scheduler_type": "sideways"}, "lr_scheduler_type"),
    ],
)
def test_a_setting_that_cannot_work_is_named(tmp_path: Path, settings: dict[str, Any], why: str) -> None:
    with pytest.raises(BadInput, match=why) as raised:
        read(Path("model"), tmp_path / "rows", **settings)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "- a\n", "a: [\n", "\x00"])
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=r"holds no settings|is not YAML"):
        configuration.read(tmp_path / "config.yaml", "sft")


def test_flags_go_over_the_file_and_both_are_named_with_the_settings(tmp_path: Path) -> None:
    file = tiny_chat.save_config(tmp_path / "config.yaml", Path("m"), Path("d"), Path("o"))
    found = configuration.read(file, "sft", ["--learning_rate", "2e-5", "--packing", "true"])
    assert (found.args.learning_rate, found.args.packing, found.ours.rank) == (2e-5, True, 4)
    said = configuration.described(found)
    assert "learning_rate=2e-05 (flag)" in said
    assert "rank=4 (config.yaml)" in said
    assert "patience=0 (default)" in said
    with pytest.raises(BadInput, match="a flag sets 'colour'"):
        configuration.read(file, "sft", ["--colour", "red"])


def trainings() -> list[Path]:
    found = sorted({*CONFIGS.glob("*.yaml"), *CONFIGS.glob("tiny/*.yaml"), *CONFIGS.glob("smoke-chain/*.yaml")})
    preferring = {*preferences()}
    return [path for path in found if "method" in yaml.safe_load(path.read_text(encoding="utf-8")) and path not in preferring]


def preferences() -> list[Path]:
    preferred = ("dpo", "kto", "reward", "grpo", "rloo")  # a smoke test of grpo is one of rloo too
    return [CONFIGS / f"{name}.yaml" for name in (*preferred, *(f"smoke-{name}" for name in preferred[:-1]))]


def test_every_file_of_settings_is_loaded_by_a_test() -> None:
    """Of trainings and many GPUs below; others in test_data_build, test_photo_training, test_distil, test_chain,
    test_align, test_reward, test_online, test_retrain.
    """
    known = {*trainings(), *CONFIGS.glob("data*.yaml"), *CONFIGS.glob("photos*.yaml"), CONFIGS / "distil.yaml"}
    known |= {CONFIGS / folder / f"{name}.yaml" for folder in ("tiny", "smoke-chain") for name in ("chain", "data")}
    known |= {*preferences(), *CONFIGS.glob("retrain-*.yaml"), CONFIGS / "tiny" / "retrain-dpo.yaml"}
    known |= {CONFIGS / "accelerate" / f"{name}.yaml" for name in MANY}
    assert known == set(CONFIGS.rglob("*.yaml"))


@pytest.mark.parametrize("path", trainings(), ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_configuration_loads(path: Path) -> None:
    kind: configuration.Kind = "pretrain" if "pretrain" in path.name else "sft"
    found = configuration.read(path, kind, ["--model", "m", "--data", "d", "--out", "o"])
    assert found.args.packing
    assert found.args.logging_nan_inf_filter is False
    assert found.args.save_only_model is False
    assert found.args.prediction_loss_only is True
    assert found.args.eval_strategy != "no"


def test_there_are_configurations_for_a_gpu_a_laptop_and_documents() -> None:
    assert {"sft.yaml", "sft-laptop.yaml", "smoke-sft.yaml", "pretrain.yaml"} <= {path.name for path in trainings()}


@pytest.mark.parametrize("name", MANY)
def test_every_configuration_for_many_gpus_loads(name: str) -> None:
    found = load_config_from_file(str(CONFIGS / "accelerate" / f"{name}.yaml"))
    assert (found.mixed_precision, found.num_processes, found.use_cpu) == ("bf16", 8, False)
    kinds = {"ddp": "MULTI_GPU", "fsdp-qlora": "FSDP"}
    assert str(found.distributed_type).endswith(kinds.get(name, "DEEPSPEED"))
    if name == "fsdp-qlora":
        assert (found.fsdp_config["fsdp_version"], found.fsdp_config["fsdp_state_dict_type"]) == (2, "FULL_STATE_DICT")
    if name == "zero3":
        assert found.deepspeed_config["zero3_init_flag"] is True


def test_the_command_says_a_wrong_key_in_one_sentence(base: Path, tmp_path: Path) -> None:
    from ui.cli import app

    file = tiny_chat.save_config(tmp_path / "config.yaml", base, tmp_path, tmp_path / "run", colour="red")
    found = CliRunner().invoke(app, ["train", "sft", str(file)])
    assert isinstance(found.exception, BadInput)
    assert "sets 'colour'" in str(found.exception)


def test_the_command_trains_with_a_shipped_configuration_and_flags(base: Path, tmp_path: Path) -> None:
    from ui.cli import app

    data, out = tiny_chat.save_data(tmp_path / "rows", 24), tmp_path / "run"
    flags = ["--model", str(base), "--data", str(data), "--out", str(out), "--max_steps", "3", "--eval_steps", "2"]
    found = CliRunner().invoke(app, ["train", "sft", str(CONFIGS / "smoke-sft.yaml"), *flags])
    assert found.exit_code == 0, found.output
    assert f"What was learned is in {out / 'adapter'}." in found.stdout
    assert "mask: " in found.stderr
    assert "step 3 of 3" in found.stderr or "step 1 of 3" in found.stderr
    assert (out / "run.json").is_file()
