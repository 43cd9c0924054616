"""What a search builds (`Prefix`) and what it returns (`Hypothesis`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FinishReason = Literal["eos", "length"]


@dataclass(frozen=True)
class Hypothesis:
    """One generated response.

    `token_ids` are without the final EOS; an EOS inside them, which search="mime" alone can produce, stays.
    `token_logprobs` are natural logarithms under the model, with the EOS's where one was produced.
    `logprob` is their sum as the search accumulated it, token by token in the dtype of the model's log-probs.
    `score` is what the search ranks by.
    """

    token_ids: tuple[int, ...]
    token_logprobs: tuple[float, ...]
    logprob: float
    score: float
    finish_reason: FinishReason

    @property
    def count(self) -> int:
        """Tokens produced, the EOS included."""
        return len(self.token_logprobs)


@dataclass(frozen=True)
class Prefix:
    """A response as far as it has been generated; any EOS is still in `token_ids`."""

    token_ids: tuple[int, ...] = ()
    token_logprobs: tuple[float, ...] = ()
    logprob: float = 0.0

    def extend(self, token_id: int, token_logprob: float, logprob: float) -> Prefix:
        """One token more; `logprob` is the accumulated sum with it."""
        return Prefix((*self.token_ids, token_id), (*self.token_logprobs, token_logprob), logprob)

    def score(self, length_penalty: float) -> float:
        """logprob / count ** length_penalty in float64; the prefix holds at least one token."""
        divisor: float = float(len(self.token_ids)) ** float(length_penalty)
        return self.logprob / divisor

    def finish(self, eos_token_id: int | None, length_penalty: float) -> Hypothesis:
        """The hypothesis that ends here: by its EOS if that is the last token, else by length."""
        ended = eos_token_id is not None and self.token_ids[-1] == eos_token_id
        return Hypothesis(
            token_ids=self.token_ids[:-1] if ended else self.token_ids,
            token_logprobs=self.token_logprobs,
            logprob=self.logprob,
            score=self.score(length_penalty),
            finish_reason="eos" if ended else "length",
        )
