"""The released tokenisation spelled with NLTK itself, without Punkt's data: what mime_fast.text must equal."""

import re

from nltk.tokenize.destructive import NLTKWordTokenizer  # type: ignore[import-untyped]
from nltk.tokenize.punkt import PunktSentenceTokenizer  # type: ignore[import-untyped]

from tests.text.contractions import CONTRACTIONS


class _ReleasedWords(NLTKWordTokenizer):  # type: ignore[misc]
    """NLTK's word tokenizer as it was in version 3.5: no split at `*`, ellipses of three periods, no opening '."""

    STARTING_QUOTES = NLTKWordTokenizer.STARTING_QUOTES[:4]
    PUNCTUATION = [  # noqa: RUF012 - the base class's own form
        (re.compile(r"\.\.\."), replacement) if pattern.pattern == r"\.{2,}" else (pattern, replacement)
        for pattern, replacement in NLTKWordTokenizer.PUNCTUATION
        if pattern.pattern != "[*]"
    ]


_sentences = PunktSentenceTokenizer().tokenize
_words = _ReleasedWords().tokenize


def oracle(text: str) -> list[str]:
    text = text.lower()
    for short, long in CONTRACTIONS:
        text = text.replace(short, long)
    return [word for sentence in _sentences(text) for word in _words(sentence)]
