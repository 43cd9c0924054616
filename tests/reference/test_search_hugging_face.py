"""Beams, greedy search and the penalty give what Hugging Face's `generate` gives on the same model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mime_fast.config.generation import GenerationConfig
from mime_fast.reference.candidates import Next
from mime_fast.reference.search import search

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

VOCAB_SIZE, PAD, SOS, EOS = 40, 0, 1, 2


class Whole:
    """A Hugging Face encoder-decoder as a StepDecoder without a cache: the state is the words fed and the encoding."""

    vocab_size = VOCAB_SIZE

    def __init__(self, model: Any) -> None:
        self.model = model

    def step(self, tokens: Tensor, state: tuple[Tensor, Tensor]) -> Next[tuple[Tensor, Tensor]]:
        fed, encoded = torch.cat([state[0], tokens[:, None]], dim=1), state[1]
        logits = self.model(encoder_outputs=(encoded,), decoder_input_ids=fed).logits[:, -1].float()
        return Next(logits, logits.log_softmax(dim=-1), (fed, encoded))

    def select(self, state: tuple[Tensor, Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
        return state[0][rows], state[1][rows]


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24}
    sizes |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = transformers.BartConfig(
        vocab_size=VOCAB_SIZE, pad_token_id=PAD, bos_token_id=SOS, eos_token_id=EOS, decoder_start_token_id=SOS,
        forced_eos_token_id=None, init_std=1.0, **sizes,
    )  # fmt: skip
    return transformers.BartForConditionalGeneration(config).eval()


WAYS: list[dict[str, Any]] = [
    {},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 4.0},
    {"repetition_penalty": 0.6, "no_repeat_ngram_size": 2, "suppress_tokens": [SOS]},  # SOS is in no n-gram here
    {"repetition_penalty": 2.0, "min_new_tokens": 7, "suppress_tokens": [5, 6, 7]},
    {"min_new_tokens": 9, "max_new_tokens": 9},
    {"length_penalty": 0.0},
    {"length_penalty": 2.0},
    {"length_penalty": -1.0},
]


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize("way", WAYS, ids=str)
@torch.no_grad()
def test_the_same_tokens(model: Any, way: dict[str, Any], beams: int) -> None:
    sources = torch.randint(3, VOCAB_SIZE, (6, 5), generator=torch.Generator().manual_seed(beams))
    options: dict[str, Any] = {"max_new_tokens": 9, "num_beams": beams, "length_penalty": 1.0} | way
    theirs = model.generate(
        sources, do_sample=False, early_stopping=False, num_return_sequences=beams, return_dict_in_generate=True,
        output_scores=True, use_cache=False, **options,
    )  # fmt: skip
    encoded = model.get_encoder()(sources).last_hidden_state
    ours = search(
        Whole(model), (torch.zeros(6, 0, dtype=torch.long), encoded), 6,
        GenerationConfig(num_return_sequences=beams, **options), seeds=[0] * 6, request_ids=range(6),
        eos_token_id=EOS, sos_token_id=SOS,
    )  # fmt: skip
    found = [one for each in ours for one in each]
    said = [[token for token in row if token not in (PAD, EOS)] for row in theirs.sequences[:, 1:].tolist()]
    assert [[token for token in one.token_ids if token not in (PAD, EOS)] for one in found] == said
    if beams > 1:
        assert [one.score for one in found] == pytest.approx(theirs.sequences_scores.tolist(), abs=1e-4)
