"""What a search refuses; needs no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite

from mime_fast.config.generation import GenerationConfig
from mime_fast.errors import ConfigError
from mime_fast.reference.philox import STEP_BITS
from mime_fast.text.special import EOS_ID

LOWEST_TEMPERATURE = 1e-300  # below it log-prob / temperature can leave the range of float64
SAMPLED_STEPS = 1 << STEP_BITS  # those that have random numbers of their own


def check_options(options: GenerationConfig, vocab_size: int, eos_token_id: int | None = EOS_ID) -> None:
    """What only the search can know.

    Raises:
        ConfigError: naming all faults.
    """
    faults = [
        f"suppress_tokens contains {token}: must be ids from 0 to {vocab_size - 1}"
        for token in options.suppress_tokens
        if token >= vocab_size
    ]
    if eos_token_id is not None and not 0 <= eos_token_id < vocab_size:
        faults.append(f"eos_token_id={eos_token_id}: must be an id from 0 to {vocab_size - 1}")
    if options.temperature < LOWEST_TEMPERATURE:
        faults.append(f"temperature={options.temperature!r}: must be {LOWEST_TEMPERATURE:g} or more")
    if options.do_sample and options.max_new_tokens > SAMPLED_STEPS:
        faults.append(f"max_new_tokens={options.max_new_tokens}: must be at most {SAMPLED_STEPS} with do_sample=True")
    try:
        divisor = float(options.max_new_tokens) ** float(options.length_penalty)
    except OverflowError:
        divisor = inf
    if not isfinite(divisor) or divisor == 0.0:
        faults.append(
            f"length_penalty={options.length_penalty!r}: must be one for which "
            f"max_new_tokens={options.max_new_tokens} to this power is above 0 and finite in float64"
        )
    if faults:
        raise ConfigError("; ".join(faults))


def no_response(dialogues: Sequence[int], options: GenerationConfig) -> ConfigError:
    """What is raised where the bans leave these dialogues without a response."""
    return ConfigError(
        f"no response can be generated for dialogues {list(dialogues)} of this batch: suppress_tokens, "
        f"min_new_tokens={options.min_new_tokens} and no_repeat_ngram_size={options.no_repeat_ngram_size} leave no "
        "token of a log-prob above -inf; at least one is needed at every step"
    ).about(dialogues)
