"""How a call's options meet the model's defaults."""

from __future__ import annotations

from typing import Any

import pytest

from mime_fast.config.generation import GenerationConfig
from mime_fast.engine.options import resolve_options
from mime_fast.errors import ConfigError

BEAMS = GenerationConfig(num_beams=4, max_new_tokens=20, length_penalty=0.5, no_repeat_ngram_size=3)
SAMPLING = GenerationConfig(num_beams=1, do_sample=True, temperature=0.4, max_new_tokens=20, suppress_tokens=(0, 1))


def resolve(defaults: GenerationConfig, search: Any = "standard", **given: Any) -> GenerationConfig:
    return resolve_options(defaults, search, given, max_positions=1000)


def test_none_is_the_models_own_value() -> None:
    assert resolve(BEAMS, num_beams=None, top_k=None) == BEAMS
    assert resolve(SAMPLING) == SAMPLING


def test_sampling_has_one_beam_and_beams_do_not_sample() -> None:
    assert resolve(BEAMS, do_sample=True, top_k=5) == BEAMS.replace(do_sample=True, num_beams=1, top_k=5)
    assert resolve(SAMPLING, num_beams=5) == SAMPLING.replace(do_sample=False, num_beams=5)
    assert resolve(SAMPLING, do_sample=False) == SAMPLING.replace(do_sample=False)
    assert resolve(SAMPLING, num_beams=1).do_sample
    with pytest.raises(ConfigError, match="do_sample=True with num_beams=2"):
        resolve(SAMPLING, do_sample=True, num_beams=2)


def test_sampling_options_without_sampling_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"temperature=0\.5 without do_sample=True"):
        resolve(BEAMS, temperature=0.5)
    with pytest.raises(ConfigError, match=r"top_p=0\.5 without do_sample=True"):
        resolve(SAMPLING, num_beams=5, top_p=0.5)
    assert resolve(SAMPLING, temperature=0.5).temperature == 0.5


def test_the_released_beam_takes_beams_and_lengths_alone() -> None:
    assert resolve(BEAMS, "mime") == GenerationConfig(num_beams=4, max_new_tokens=20, search="mime")
    assert resolve(SAMPLING, "mime") == GenerationConfig(num_beams=5, max_new_tokens=20, search="mime")
    assert resolve(SAMPLING, "mime", num_beams=2, min_new_tokens=3).num_beams == 2
    with pytest.raises(ConfigError, match="not no_repeat_ngram_size=3"):
        resolve(BEAMS, "mime", no_repeat_ngram_size=3)


def test_a_reply_has_no_more_tokens_than_positions() -> None:
    assert resolve(BEAMS, max_new_tokens=1000).max_new_tokens == 1000
    with pytest.raises(ConfigError, match="at most 1000 positions"):
        resolve(BEAMS, max_new_tokens=1001)
