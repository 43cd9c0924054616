"""What a search builds (`Prefix`) and what it returns (`Hypothesis`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FinishReason = Literal["eos", "length"]


@dataclass(frozen=True)
class Hypothesis:
    """One generated response.

    `token_ids` are without the final EOS; an EOS inside them, which only search="mime" can produce, stays.
    `token_logprobs` are natural logarithms under the model, with the EOS's where one was produced.
    `logprob` is their sum, accumulated token by token in the dtype of the model's log-probs.
    `score` is what the search ranks by: a repetition penalty counts in a beam's.
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
    logprob: float = 0.0  # sum of token_logprobs
    total: float = 0.0  # S: the sum of the values that its tokens were ranked by

    def extend(self, token_id: int, token_logprob: float, logprob: float, total: float) -> Prefix:
        """One token more; `logprob` and `total` are the accumulated sums with it."""
        return Prefix((*self.token_ids, token_id), (*self.token_logprobs, token_logprob), logprob, total)

    def score(self, length_penalty: float) -> float:
        """S / count ** length_penalty in float64; the prefix has at least one token."""
        divisor: float = float(len(self.token_ids)) ** float(length_penalty)
        return self.total / divisor

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
