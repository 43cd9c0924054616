"""Case sheets as Markdown that a terminal shows well, too: lists, no wide tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mime_fast.engine.results import Reply
from mime_fast.evaluation.cases.cases import Case, SystemReplies
from mime_fast.evaluation.markdown import item, safe

LEAST = 0.005  # what is no more would be shown as 0 %
SPEAKERS = ("Speaker", "Listener")


def format_cases(cases: Sequence[Case], answered: Sequence[SystemReplies], *, top: int) -> str:
    """Markdown without a last line feed; `top` emotions of each group of a mixture are named."""
    models = "\n".join(item(f"{safe(one.system.name)}: {safe(_source(one))}") for one in answered)
    explained = (
        "Below a reply: the emotion that the model recognised in the user, with its probability; the heaviest emotions "
        "it mixed, positive / negative; and the group it mimics, with its share of the gate. - for a model without a "
        "mixture."
    )
    return "\n\n".join(
        ["# Cases", models, explained, *("\n".join(_case(n, case, answered, top)) for n, case in enumerate(cases))]
    )


def _case(place: int, case: Case, answered: Sequence[SystemReplies], top: int) -> Iterator[str]:
    yield f"## {place + 1}. {safe(case.id) if case.label is None else f'{case.label} ({safe(case.id)})'}"
    yield ""
    for turn, said in enumerate(case.context):
        yield f"- **{SPEAKERS[turn % 2]}**: {_words(said)}"
    for one in answered:
        reply = one.replies[place]
        yield f"- **{safe(one.system.name)}**: {_words(reply.text)}"
        yield f"  - {_behind(reply, one.mimicry, top)}"
    yield f"- **Gold**: {'-' if case.gold is None else _words(case.gold)}"


def _behind(reply: Reply, mimicry: bool, top: int) -> str:
    emotion = f"recognised {reply.emotion} {_percent(reply.emotion_probs[reply.emotion])}"
    mixture = reply.mixture
    if mixture is None:
        return f"{emotion}; mixes -; mimics -"
    share = f"{100 * mixture.mimic_share:.1f} % of the gate"
    mimics = f"mimics {mixture.polarity}, {share}" if mimicry else f"mimics nothing; first side {share}"
    return f"{emotion}; mixes {_heaviest(mixture.positive, top)} / {_heaviest(mixture.negative, top)}; {mimics}"


def _heaviest(weights: Mapping[str, float], top: int) -> str:
    """The heaviest `top` of those that are more than nothing as shown."""
    ordered = sorted(weights.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {_percent(weight)}" for name, weight in ordered[:top] if weight > LEAST) or "-"


def _source(one: SystemReplies) -> str:
    return one.system.source + "".join(f", {key}={value}" for key, value in one.system.options.items())


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _words(said: str | Sequence[str]) -> str:
    return safe(said if isinstance(said, str) else " ".join(said))
