"""From the model's defaults and a call's options to one checked GenerationConfig."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from inspect import Parameter, signature
from typing import Any

from mime_fast.config.generation import OPTIONS, GenerationConfig
from mime_fast.errors import ConfigError

ELSEWHERE = {  # what other libraries call an option
    "max_length": "max_new_tokens",
    "max_tokens": "max_new_tokens",
    "max_decoding_length": "max_new_tokens",
    "min_length": "min_new_tokens",
    "min_tokens": "min_new_tokens",
    "min_decoding_length": "min_new_tokens",
    "beam_size": "num_beams",
    "num_hypotheses": "num_return_sequences",
    "n": "num_return_sequences",
    "bad_words_ids": "suppress_tokens",
    "decoder_input_ids": "prefixes",
    "target_prefix": "prefixes",
    "sampling_topk": "top_k",
    "sampling_topp": "top_p",
    "sampling_temperature": "temperature",
    "generation_config": "**generation_config.to_dict()",
}


def resolve_options(defaults: GenerationConfig, given: Mapping[str, Any], max_positions: int) -> GenerationConfig:
    """The options of a call; None in `given` means the model's default.

    `search="mime"` starts from those of the defaults that it takes (from the paper's 5 beams where they sample). Where
    only one of `do_sample` and `num_beams` is given, the other gives way: sampling has one beam, several beams do not
    sample. Where more replies are asked for than the model's `best_of`, so many are drawn.

    Raises:
        ConfigError: an option, or a combination of them, is not allowed.
    """
    refuse_unknown(given)
    chosen = {name: value for name, value in given.items() if value is not None}
    for name, value in chosen.items():
        OPTIONS[name].check(name, value)
    if chosen.get("search", defaults.search) == "mime":
        base, changes = _released(defaults), chosen
    else:
        base, changes = defaults, _settle(defaults, chosen)
    options = base.replace(**changes)
    if options.max_new_tokens > max_positions:
        raise ConfigError(f"max_new_tokens={options.max_new_tokens}: must be at most {max_positions} positions")
    return options


def others_of(call: Callable[..., Any]) -> list[str]:
    """The keywords of a call besides the search options."""
    return [name for name, one in signature(call).parameters.items() if one.kind is Parameter.KEYWORD_ONLY]


def refuse_unknown(given: Mapping[str, Any], others: Sequence[str] = ()) -> None:
    """ConfigError for what is no search option; `others` are the call's other keywords."""
    for name, value in given.items():
        if name in OPTIONS:
            continue
        near = [ELSEWHERE[name]] if name in ELSEWHERE else get_close_matches(name, (*OPTIONS, *others), 1, 0.75)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join((*OPTIONS, *others))}"
        raise ConfigError(f"{name}={value!r:.80}: no option of this name; {hint}")


def _released(defaults: GenerationConfig) -> GenerationConfig:
    taken = {name: getattr(defaults, name) for name, option in OPTIONS.items() if option.mime}
    if defaults.do_sample:
        taken |= {"num_beams": GenerationConfig.num_beams, "num_return_sequences": 1}
    return GenerationConfig(**(taken | {"search": "mime"}))


def _samples(defaults: GenerationConfig, chosen: Mapping[str, Any]) -> bool:
    return bool(chosen.get("do_sample", defaults.do_sample and chosen.get("num_beams", defaults.num_beams) == 1))


def _settle(defaults: GenerationConfig, chosen: dict[str, Any]) -> dict[str, Any]:
    """The call's options with what follows from them; values that ask for sampling where there is none are refused."""
    several = chosen.get("num_return_sequences", 1)
    if "best_of" not in chosen and 1 < defaults.best_of < several:
        chosen = {**chosen, "best_of": several} if _samples(defaults, chosen) else chosen
    if chosen.get("do_sample") and "num_beams" not in chosen:
        chosen = {**chosen, "num_beams": 1}
    beams = chosen.get("num_beams", defaults.num_beams)
    if defaults.do_sample and "do_sample" not in chosen and beams != 1:
        chosen = {**chosen, "do_sample": False}
    length_penalty, best_of = chosen.get("length_penalty", 1), chosen.get("best_of", defaults.best_of)
    if length_penalty != 1 and best_of > 1 and _samples(defaults, chosen):
        raise ConfigError(
            f"length_penalty={length_penalty!r} with best_of={best_of}: must be 1 where the best draw is "
            "chosen by its log-prob and the reranker (it is for num_beams above 1, or best_of=1)"
        )
    if not chosen.get("do_sample", defaults.do_sample):
        idle = [
            f"{name}={value!r}"
            for name, value in chosen.items()
            if OPTIONS[name].sampling and value not in (getattr(GenerationConfig, name), getattr(defaults, name))
        ]
        if idle:
            raise ConfigError(f"{', '.join(idle)} without do_sample=True: sampling options need it")
    return chosen
