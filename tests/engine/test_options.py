"""How a call's options meet the model's defaults."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from typing import Any

import pytest

from mime_fast.config.generation import OPTIONS, GenerationConfig, SearchOptions
from mime_fast.engine.options import resolve_options
from mime_fast.errors import ConfigError

BEAMS = GenerationConfig(num_beams=4, max_new_tokens=20, length_penalty=0.5, no_repeat_ngram_size=3)
SAMPLING = GenerationConfig(num_beams=1, do_sample=True, temperature=0.4, max_new_tokens=20, suppress_tokens=(0, 1))


def resolve(defaults: GenerationConfig, search: Any = "standard", **given: Any) -> GenerationConfig:
    return resolve_options(defaults, {"search": search, **given}, max_positions=1000)


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


def test_a_whole_config_is_taken() -> None:
    """As `**config.to_dict()`, with the model's own sampling options, which beams leave aside."""
    beams = resolve(SAMPLING, num_beams=5)
    assert resolve(SAMPLING, **beams.to_dict()) == beams
    assert resolve(SAMPLING, **SAMPLING.replace(do_sample=False).to_dict()) == SAMPLING.replace(do_sample=False)


def test_a_length_penalty_where_the_best_draw_is_chosen_is_refused() -> None:
    several = SAMPLING.replace(best_of=8)
    with pytest.raises(ConfigError, match=r"length_penalty=0\.5 with best_of=8: must be 1"):
        resolve(several, length_penalty=0.5)
    with pytest.raises(ConfigError, match=r"length_penalty=2 with best_of=4"):
        resolve(SAMPLING, length_penalty=2, best_of=4)
    with pytest.raises(ConfigError, match=r"length_penalty=0\.5 with best_of=8"):
        resolve(several, do_sample=True, length_penalty=0.5)
    with pytest.raises(ConfigError, match=r"length_penalty=2 with best_of=4"):
        resolve(BEAMS, do_sample=True, best_of=4, length_penalty=2)
    assert resolve(BEAMS, do_sample=True, length_penalty=2).length_penalty == 2
    assert resolve(several, length_penalty=1).length_penalty == 1
    assert resolve(several, length_penalty=0.5, num_beams=5).length_penalty == 0.5
    assert resolve(several, length_penalty=0.5, best_of=1).length_penalty == 0.5


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("target_prefix", "did you mean prefixes?"),
        ("sampling_topk", "did you mean top_k?"),
        ("generation_config", r"did you mean \*\*generation_config.to_dict\(\)?"),
        ("num_beam", "did you mean num_beams?"),
        ("use_cache", "there are num_beams, "),  # nothing is like it
        ("input_ids", "there are num_beams, "),
    ],
)
def test_hints_for_names_of_other_libraries(name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        resolve(SAMPLING, **{name: 1})


def test_values_that_ask_for_nothing_are_taken_without_sampling() -> None:
    nothing = {"temperature": 1.0, "top_p": 1, "top_k": 0, "best_of": 1}
    assert resolve(BEAMS, **nothing) == BEAMS
    assert resolve(SAMPLING, do_sample=False, **nothing) == SAMPLING.replace(do_sample=False, **nothing)
    assert resolve(BEAMS, "mime", **nothing) == resolve(BEAMS, "mime")


def test_more_replies_than_the_models_best_of_are_so_many_draws() -> None:
    several = SAMPLING.replace(best_of=8)
    assert resolve(several, num_return_sequences=3) == several.replace(num_return_sequences=3)
    assert resolve(several, num_return_sequences=9) == several.replace(num_return_sequences=9, best_of=9)
    assert resolve(several, num_return_sequences=9, num_beams=9).best_of == 8  # beams: of no effect
    assert resolve(SAMPLING, num_return_sequences=9).best_of == 1
    assert resolve(several, best_of=1, num_return_sequences=9).best_of == 1
    with pytest.raises(ConfigError, match=r"num_return_sequences=9: must be at most best_of=4"):
        resolve(several, best_of=4, num_return_sequences=9)


def test_the_released_beam_takes_beams_lengths_and_suppressed_tokens() -> None:
    assert resolve(BEAMS, "mime") == GenerationConfig(num_beams=4, max_new_tokens=20, search="mime")
    obeyed = GenerationConfig(num_beams=5, max_new_tokens=20, suppress_tokens=(0, 1), search="mime")
    assert resolve(SAMPLING, "mime") == obeyed
    assert resolve(SAMPLING, "mime", suppress_tokens=[7]) == obeyed.replace(suppress_tokens=(7,))
    assert resolve(BEAMS.replace(min_new_tokens=2), "mime").min_new_tokens == 2
    assert resolve(SAMPLING, "mime", num_beams=2, min_new_tokens=3).num_beams == 2
    with pytest.raises(ConfigError, match="not no_repeat_ngram_size=3"):
        resolve(BEAMS, "mime", no_repeat_ngram_size=3)


def test_a_reply_has_no_more_tokens_than_positions() -> None:
    assert resolve(BEAMS, max_new_tokens=1000).max_new_tokens == 1000
    with pytest.raises(ConfigError, match="must be at most 1000 positions"):
        resolve(BEAMS, max_new_tokens=1001)


def test_an_unknown_option_is_refused_with_a_hint() -> None:
    for wrong, right in (("max_length", "max_new_tokens"), ("num_beam", "num_beams"), ("beam_size", "num_beams")):
        with pytest.raises(ConfigError, match=rf"^{wrong}=5: no option of this name; did you mean {right}\?"):
            resolve(BEAMS, **{wrong: 5})
    with pytest.raises(ConfigError, match=r"colour='red': no option of this name; there are num_beams, "):
        resolve(BEAMS, colour="red")


def test_a_models_own_search_counts_where_a_call_names_none() -> None:
    released = GenerationConfig(num_beams=3, search="mime")
    assert resolve(released, None) == released
    assert resolve(released, "standard") == released.replace(search="standard")


def test_keyword_arguments_are_those_of_the_config() -> None:
    """The two halves of the one list: same names, order and types."""
    arguments = typing.get_type_hints(SearchOptions)
    fields = typing.get_type_hints(GenerationConfig)
    assert list(arguments) == [field.name for field in dataclasses.fields(GenerationConfig)] == list(OPTIONS)
    for name, option in OPTIONS.items():
        expected = Sequence[int] if name == "suppress_tokens" else fields[name]
        assert arguments[name] == expected | None, name
        assert option.help, name
