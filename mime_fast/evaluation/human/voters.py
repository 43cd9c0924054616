"""Who, or what, the annotators of a study are: people, or language models, which are never passed off as people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mime_fast.errors import ConfigError

PERSON, MODEL = "person", "language model"


@dataclass(frozen=True)
class Voter:
    """Who, or what, an annotator is."""

    kind: Literal["person", "language model"]
    name: str = ""  # of a language model


def parse_voters(texts: Sequence[str], annotators: int) -> list[Voter]:
    """Each annotator's `Voter` from `person` or `model:NAME`, one for all or one each.

    Args:
        annotators: all who voted, with the one who was asked where the others had no majority.

    Raises:
        ConfigError: another word, a model without a name, or another number of them.
    """
    voters = [_parse_voter(text) for text in texts]
    if len(voters) not in (1, annotators):
        raise ConfigError(
            f"{len(voters)} voters for {annotators} annotators: give one for all of them, or one for each"
        )
    return voters * (annotators if len(voters) == 1 else 1)


def _parse_voter(text: str) -> Voter:
    kind, sign, name = text.partition(":")
    if text == PERSON:
        return Voter("person")
    if kind == "model" and sign and name.strip() and name.isprintable():
        return Voter("language model", name.strip())
    raise ConfigError(f"voter {text!r}: must be {PERSON}, or model:NAME for a language model")


def name_voters(voters: Sequence[Voter]) -> str:
    """All voters in words, for instance "2 people, 1 language model (NAME)"."""
    people = sum(voter.kind == PERSON for voter in voters)
    names = [voter.name for voter in voters if voter.kind == MODEL]
    parts = [f"{people} {'person' if people == 1 else 'people'}"] if people else []
    for name in dict.fromkeys(names):
        count = names.count(name)
        parts.append(f"{count} language model{'s' * (count > 1)} ({name})")
    return ", ".join(parts)
