"""What an answer earns while a model learns from its own, the questions that it is asked, and settings that cannot work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agri_llm.errors import BadInput
from agri_llm.prompts import REFUSAL_MARK
from training import online_config, online_prompts, online_reward, rewards
from training.online_config import Online
from training.rewards import Judged

PARTS = {"carried": 1.0, "marks": 1.0, "repetition": 1.0, "length": 1.0}
SHARE = st.floats(0, 1)


@given(
    score=st.floats(-1, 1),
    best=st.floats(-1, 1),
    share=SHARE,
    bad=st.sampled_from(["carried", "marks"]),
    part=st.floats(0, 0.99),
)
def test_no_score_lifts_what_fails_a_check_to_what_is_sound(
    score: float, best: float, share: float, bad: str, part: float
) -> None:
    unsound = online_reward.earned(Judged(reward=0.9, parts={**PARTS, bad: part}), "answerable", best, share)
    sound = online_reward.earned(Judged(reward=0.2, parts=PARTS), "answerable", score, share)
    assert -1 < unsound < 0 <= sound <= 1


@given(score=st.floats(-1, 1), share=SHARE)
def test_danger_refusals_and_answers_to_what_nobody_wrote_are_worth_what_our_checks_say(score: float, share: float) -> None:
    assert online_reward.earned(Judged(reward=-1.0, danger="Spray 9 l."), "answerable", score, share) == -1
    assert online_reward.earned(Judged(reward=1.0), "unanswerable", score, share) == 1
    assert -1 < online_reward.earned(Judged(reward=-0.5, parts=PARTS), "unanswerable", score, share) < 0


def test_a_better_score_earns_more_among_sound_answers() -> None:
    low, high = (online_reward.earned(Judged(reward=0.8, parts=PARTS), "answerable", score, 0.3) for score in (-0.5, 0.5))
    assert low < high


@pytest.mark.parametrize(
    ("better", "asks"),
    [
        (REFUSAL_MARK, "unanswerable"),
        (f"{REFUSAL_MARK}.", "unanswerable"),
        ("Which crop do you grow?", "unclear"),
        ("你种的是什么作物？", "unclear"),
        ("Rotate the field.[1]", "answerable"),
        ("Did you know? Rotate the field.[1]", "answerable"),
    ],
)
def test_what_a_question_asks_for_is_read_from_the_right_answer(better: str, asks: str) -> None:
    assert online_prompts.asks_of(better) == asks


def test_to_an_unclear_question_only_asking_back_is_right() -> None:
    messages = ({"role": "user", "content": "What helps?"},)
    assert rewards.judge(messages, "Which crop do you grow?", unclear=True).reward == 1
    assert rewards.judge(messages, "Rotate the field.[1]", unclear=True).reward < 0
    assert rewards.judge(messages, "", unclear=True).reward < 0


def test_words_of_refusal_before_a_dangerous_sentence_buy_nothing() -> None:
    messages = ({"role": "user", "content": "What helps?"},)
    for known in (True, False, None):
        text = f"{REFUSAL_MARK} Use mancozeb at 3 kg per hectare."
        assert rewards.judge(messages, text, answerable=known).reward == rewards.DANGEROUS
        assert rewards.judge(messages, f"{text}?", unclear=True).reward == rewards.DANGEROUS
    assert rewards.judge(messages, f"{REFUSAL_MARK} All is well.", answerable=False).reward < 0


def test_every_stretch_of_questions_has_the_shares_of_the_whole() -> None:
    rows = [
        {"asks": kind, "at": at}
        for kind, count in (("answerable", 60), ("unanswerable", 30), ("unclear", 10))
        for at in range(count)
    ]
    placed = online_prompts.spread(rows, seed=3)
    assert placed == online_prompts.spread(rows, seed=3)
    for start in range(0, 100, 20):
        kinds = [row["asks"] for row in placed[start : start + 20]]
        assert abs(kinds.count("answerable") - 12) <= 2
        assert abs(kinds.count("unclear") - 2) <= 2


def read(folder: Path, kind: Online = "grpo", **values: Any) -> online_config.Training:
    said = {"model": "M", "start": "S", "data": "D", "out": "O", "per_device_train_batch_size": 4, **values}
    file = folder / "online.yaml"
    file.write_text(yaml.safe_dump(said), encoding="utf-8")
    return online_config.read(file, kind)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"beta": 0.0}, "nothing would hold the model near the start"),
        ({"start": ""}, "does not say 'start'"),
        ({"per_device_train_batch_size": 3}, "do not go together"),
        ({"reward_share": 2.0}, "it is a share"),
        ({"weigh_marks": -1.0}, "none may count below nothing"),
        ({"max_completion_length": 4096}, "nothing is left for the question"),
        ({"window": 0}, "the watches look at steps"),
        ({"use_vllm": True}, "leave it out"),
        ({"num_iterations": 2}, "leave it out"),
        ({"method": "full"}, "learns with method full"),
        ({"most_grwth": 2.0}, "no setting has this name"),
        ({"logging_steps": 5}, "would not see every step"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_settings_that_cannot_work_are_one_sentence(tmp_path: Path, values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        read(tmp_path, **values)


@pytest.mark.parametrize(("kind", "name"), [("grpo", "grpo"), ("rloo", "rloo"), ("grpo", "smoke-grpo"), ("rloo", "smoke-grpo")])
def test_the_shipped_configurations_are_read(kind: Online, name: str) -> None:
    flags = ["--model", "M", "--data", "D", "--out", "O", "--start", "S"]
    found = online_config.read(Path(f"training/configs/{name}.yaml"), kind, flags)
    assert found.ours.quantised
    assert f"beta={found.args.beta}" in online_config.described(found)  # type: ignore[attr-defined]
    assert found.args.beta > 0  # type: ignore[attr-defined]
