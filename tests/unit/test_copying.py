"""The first weights of a small decoder repeat what they have seen, before anything is learned."""

from __future__ import annotations

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from training import copying


def decoder(layers: int = 3, **more: bool) -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    size = {"hidden_size": 128, "intermediate_size": 128, "num_attention_heads": 2, "num_key_value_heads": 2}
    positions = {"rope_type": "default", "rope_theta": copying.THETA}
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=1000, num_hidden_layers=layers, rope_parameters=positions, **size, **more))
    return model.eval()


def repeated(model: Qwen2ForCausalLM, length: int) -> float:
    """Which share of the tokens of a random row is foretold when the row is said a second time."""
    row = torch.randint(0, 1000, (16, length), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        foretold = model(torch.cat([row, row], 1)).logits[:, length:-1].argmax(-1)
    return float((foretold == row[:, 1:]).float().mean())


@pytest.mark.parametrize("length", [24, 96])
def test_a_decoder_that_learned_nothing_repeats_a_random_row(length: int) -> None:
    model = decoder(tie_word_embeddings=False)
    assert repeated(model, length) < 0.02
    copying.give(model, seed=0)
    assert repeated(model, length) > 0.5


def test_one_layer_is_too_few_to_search() -> None:
    model = decoder(layers=1, tie_word_embeddings=False)
    copying.give(model, seed=0)
    assert repeated(model, 24) < 0.02


def test_the_first_loss_is_about_that_of_guessing() -> None:
    model = decoder(tie_word_embeddings=False)
    copying.give(model, seed=0)
    row = torch.randint(0, 1000, (16, 48), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        loss = float(model(row, labels=row).loss)
    assert abs(loss - float(torch.log(torch.tensor(1000.0)))) < 0.5


def test_the_same_seed_gives_the_same_weights_and_another_does_not() -> None:
    found = []
    for seed in (0, 0, 1):
        model = decoder(tie_word_embeddings=False)
        copying.give(model, seed)
        found.append(model.model.layers[1].self_attn.k_proj.weight)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
