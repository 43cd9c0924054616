"""Whether two engines give the same replies; no speed is printed before they do."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures import Agreement
from mime_fast.engine.results import Reply, Score

BOUND = 1e-4  # float32's contract: the reference's tokens, and scores within this


def agreement(
    precision: str,
    against: str,
    contexts: str,
    found: tuple[Sequence[Reply], Sequence[Score]],
    expected: tuple[Sequence[Reply], Sequence[Score]],
) -> Agreement:
    """Replies beside replies, and scores of one and the same text beside each other."""
    pairs = list(zip(found[0], expected[0], strict=True))
    scored = zip(found[1], expected[1], strict=True)
    return Agreement(
        precision=precision,
        against=against,
        contexts=contexts,
        replies=len(pairs),
        equal=sum(one.token_ids == other.token_ids for one, other in pairs),
        score_difference=max(abs(one.score - other.score) for one, other in pairs),
        same_difference=max(
            (abs(one.score - other.score) for one, other in pairs if one.token_ids == other.token_ids), default=0.0
        ),
        token_difference=max(
            abs(x - y) for one, other in scored for x, y in zip(one.token_logprobs, other.token_logprobs, strict=True)
        ),
    )


def faults(found: Agreement) -> str:
    """Empty if the contract of float32 is met.

    Replies may differ where two candidates are a tie: their scores are then within the bound all the same.
    """
    named = {
        "scores of replies": found.score_difference,
        "log-probs of tokens": found.token_difference,
    }
    far = [f"{name} differ by up to {value:.3g}" for name, value in named.items() if not value <= BOUND]
    ties = found.replies - found.equal
    if ties > max(1, found.replies // 50):
        far.append(f"{ties} of {found.replies} replies differ")
    return f"{found.precision} beside {found.against} on {found.contexts}: {'; '.join(far)}" if far else ""
