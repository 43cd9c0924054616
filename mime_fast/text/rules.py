"""The released tokenisation as data: replacements and one regular expression.

The released code lower-cases, spells out 23 contractions and runs ``nltk.word_tokenize`` (Punkt sentences, then the
Treebank rules of NLTK 3.5). Here all Treebank rules and the sentence ends of an untrained Punkt are in one expression
whose matches are the tokens. It is written in the subset that Python's ``re`` and Oniguruma (the engine of the
``tokenizers`` library) read alike, so that both give the same tokens; docs/text.md explains each rule.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

CONTRACTIONS: Final = (
    ("it's", "it is"),
    ("don't", "do not"),
    ("doesn't", "does not"),
    ("didn't", "did not"),
    ("you'd", "you would"),
    ("you're", "you are"),
    ("you'll", "you will"),
    ("i'm", "i am"),
    ("they're", "they are"),
    ("that's", "that is"),
    ("what's", "what is"),
    ("couldn't", "could not"),
    ("i've", "i have"),
    ("we've", "we have"),
    ("can't", "cannot"),
    ("i'd", "i would"),
    ("aren't", "are not"),
    ("isn't", "is not"),
    ("wasn't", "was not"),
    ("weren't", "were not"),
    ("won't", "will not"),
    ("there's", "there is"),
    ("there're", "there are"),
)

# A double quote becomes one of these. The two control characters are white space to the token pattern; they only show
# that no white space was there in the text.
OPENING_QUOTE: Final = "\x1c``\x1d"
CLOSING_QUOTE: Final = "\x1c''\x1d"

# Contents of character classes. WHITE is Python's white space without the two marks.
_MARKS = r"\x1c\x1d"
_WHITE = r" \t-\r\x1e\x1f\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_LOWER = r"a-z\u00df-\u00f6\u00f8-\u00ff\u0100-\u024f\u0370-\u03ff\u0400-\u052f"
_OPENERS = "\u2018\u201c\u00ab"
_CLOSERS = r"')\]}\u2019\u201d\u00bb" + _MARKS
_PADDED = r";@#$%&?!\u2012-\u2015\u2018\u201c\u00ab\u201e`"
_ALONE = _PADDED + r"()\[\]{}<>\u2019\u201d\u00bb"
# Punkt: what may follow a sentence end with no space between, and what is always a token of its own.
_AFTER_END = r"""?!"';:@*(){}\[\]\u2018\u2019\u201c\u201d\u00ab\u00bb""" + _MARKS
_SEPARATE = r"""";:@*(){}\[\]""" + _MARKS

_CANDIDATE = rf"[.?!](?:[{_AFTER_END}]|[{_WHITE}]++(?!\Z))"
_NOT_LAST_IN_CHUNK = rf"[^{_WHITE}]{{0,200}}?{_CANDIDATE}"


def _sentence_end() -> str:
    """Look-ahead, placed after a period: the sentence ends here, so the period is a token."""
    at_end = rf"[{_CLOSERS}> ]*+[{_WHITE}]*+\Z"
    opening = rf"(?:[{_OPENERS}]|\x1c``)"
    hidden_by_opening = rf"[{_WHITE}]*+[{_CLOSERS}]*{opening}[{_CLOSERS}{_OPENERS}`]*(?:[{_WHITE}]|--|\Z)"
    inside = rf"(?!{hidden_by_opening})(?:[{_WHITE}]++(?!\Z)|(?=[{_AFTER_END}])(?!{_NOT_LAST_IN_CHUNK}))"
    return rf"(?:{at_end}|{inside})"


def _initial_or_number() -> str:
    """An initial ("j.") or a number ("10.") that keeps its period because the sentence goes on after it."""
    start = (
        rf"(?:(?<![^{_WHITE}{_SEPARATE}`])|(?<=--)|(?<=\.\.)"
        rf"|(?<=[\-&#,])(?<![^{_WHITE}{_SEPARATE}][\-&#,]))"
    )
    number = r"[.,]?\d(?:[\d.\-]|,(?=\d))*(?<!\.)"
    mark = rf"[.?!](?![^{_WHITE}{_AFTER_END}])"
    goes_on = rf"(?=[{_WHITE}]++(?:[{_LOWER};:,]|{mark})|[;:]|[?!](?![^{_WHITE}{_AFTER_END}]))"
    ends_later = rf"(?![{_WHITE}]++[^{_WHITE}]{{0,200}}?(?:(?<!\.)[.?!][{_AFTER_END}]|[?!]\.\.))"
    return rf"{start}(?:[_{_LOWER}]|{number})\.{goes_on}{ends_later}"


def _token() -> str:
    end = _sentence_end()
    final_period = rf"(?<!\.)\.(?={end})"
    comma = r"[:,](?!\d)(?:(?<![:,][:,])|(?<=[:,]{3})(?<![:,]{4})|(?<=[:,]{5})(?<![:,]{6}))"
    padded = rf"[{_PADDED}]|\.\.\.|[:,](?!\d)|\.{end}"
    bound = rf"(?:[{_ALONE}{_WHITE}{_MARKS}]|\Z|--|''|\.\.\.|[:,](?!\d)|\.{end})"
    short = rf"'[smd](?:(?={bound})|(?='(?: |{padded})))"
    clitic = rf"(?:{short}|'(?={bound})|(?:'(?:ll|re|ve)|n't)(?={bound}|'{bound}|{short}))"
    first_half = (
        rf"can(?=not\b)|g(?:im(?=me\b)|on(?=na\b)|ot(?=ta\b))|lem(?=me\b)|wan(?=na{bound})|d(?='ye\b)|more(?='n\b)"
    )
    second_half = (
        r"(?<=\bcan)not\b|(?<=\bgim)me\b|(?<=\bgon)na\b|(?<=\bgot)ta\b|(?<=\blem)me\b"
        rf"|(?<=\bwan)na(?={bound})|(?<=\bd)'ye\b|(?<=\bmore)'n\b|(?<='t)(?:is|was)\b"
    )
    plain_word = rf"[a-z]++(?=[{_WHITE}?!]|,(?!\d)|\Z)"
    inner = (
        _initial_or_number(),
        rf"(?!\b(?:{first_half}))(?:[a-mo-z]|n(?!'t)|(?!{clitic})n)++",
        rf"(?!\.\.\.)(?!{final_period})\.",
        rf"(?!{comma})[:,]",
        rf"(?!''|{clitic})'",
        r"-(?!-)",
        rf"[^a-z.:,'\-{_ALONE}{_WHITE}{_MARKS}]",
    )
    alternatives = (
        first_half,
        plain_word,
        rf"[{_ALONE.replace('`', '')}]",
        r"(?<!\w)'t(?=(?:is|was)\b)",
        final_period,
        comma,
        r"\.\.\.",
        "`++",
        "''",
        "--",
        clitic,
        second_half,
        rf"(?:{'|'.join(inner)})++",
    )
    return "|".join(alternatives)


def _opening_quote() -> str:
    """Matches quotes that open: after a space or bracket, or at the start of a sentence."""
    realigned = rf"(?=[{_CLOSERS}{_OPENERS}\"]*+(?:[{_WHITE}]|--|\Z))"
    after_sentence = r"(?:(?<=[?!])|(?<=\.)(?<!\.\.)|(?<=[?!]\")|(?<=[^.]\.\")|(?<=[?!] \")|(?<=[^.]\. \"))"
    mid_sentence = rf"(?:(?<= )(?:(?<![?!] )(?<![^.]\. )|{realigned})|(?<=[(\[{{<`\u00ab\u201c\u2018\u201e]))"
    return (
        rf"(?<=[ (\[{{<`\u00ab\u201c\u2018\u201e])\"|{mid_sentence}''|\A\"|(?<=\A\")\"|(?<=[.?!][\t-\r])\""
        rf"|{after_sentence}\"(?!{realigned})(?!{_NOT_LAST_IN_CHUNK})"
    )


TOKEN_PATTERN: Final = _token()
OPENING_QUOTE_PATTERN: Final = _opening_quote()

_tokens_from = re.compile(TOKEN_PATTERN).finditer
_TORN = frozenset(("cannot", "gimme", "gonna", "gotta", "lemme", "wanna"))
_PLAIN_LENGTH: Final = 32
_open_quotes = re.compile(OPENING_QUOTE_PATTERN).sub


def split_words(text: str) -> list[str]:
    """Tokens of one utterance by Python's ``re``; nothing but white space is dropped."""
    text = text.lower()
    if "'" in text:
        for short, long in CONTRACTIONS:
            text = text.replace(short, long)
    if '"' in text or "''" in text:
        text = _open_quotes(OPENING_QUOTE, text).replace('"', CLOSING_QUOTE)
    tokens: list[str] = []
    start = 0
    for chunk in text.split(" "):
        known = _plain_tokens(chunk) if len(chunk) <= _PLAIN_LENGTH else None
        if known is not None:
            tokens += known
        elif chunk and not chunk.isspace():  # the search for a token would run over all white space that follows
            tokens += _split_chunk(text, start, chunk)
        start += len(chunk) + 1
    return tokens


@lru_cache(maxsize=1 << 15)
def _plain_tokens(chunk: str) -> tuple[str, ...] | None:
    """What the pattern finds in a chunk that is cut alike wherever it is, sooner; None for any other chunk."""
    word = chunk[:-1] if chunk.endswith((",", "?", "!")) else chunk
    if not _is_plain(word):
        return None
    return (chunk,) if word is chunk else (word, chunk[-1])


def _is_plain(word: str) -> bool:
    return word.isalpha() and word.isascii() and word not in _TORN


def _split_chunk(text: str, start: int, chunk: str) -> Sequence[str]:
    """Tokens of what is between two spaces."""
    end = start + len(chunk)
    if end == len(text) and chunk[-1] == "." and _is_plain(chunk[:-1]):
        return chunk[:-1], "."
    tokens = []
    for match in _tokens_from(text, start):  # not of a slice: it looks at what is around the chunk
        if match.start() >= end:
            break
        tokens.append(match[0])
    return tokens


def oniguruma(pattern: str) -> str:
    r"""The same pattern for Oniguruma, where the end of the text is ``\z`` (Python 3.11: ``\Z``)."""
    return pattern.replace(r"\Z", r"\z")
