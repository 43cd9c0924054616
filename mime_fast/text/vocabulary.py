"""Building a word list from tokenised utterances."""

from collections import Counter
from collections.abc import Iterable, Sequence
from numbers import Integral

from mime_fast.errors import InputError
from mime_fast.text.special import SPECIAL_TOKENS


def build_vocabulary(
    utterances_tokens: Iterable[Sequence[str]], *, min_count: int = 1, max_size: int | None = None
) -> list[str]:
    """Words of all utterances, without the special names, as `Tokenizer.from_words` takes them.

    With the defaults every word is kept, in order of first appearance (the released way). With `min_count` above 1 or
    a `max_size` (words, specials not counted) the most frequent come first, equal counts by first appearance.
    Raises InputError when a limit is not allowed or an utterance is a string instead of a list of tokens.
    """
    if not _is_whole(min_count, 1):
        raise InputError(f"min_count={min_count!r}: must be an integer of 1 or more")
    if max_size is not None and not _is_whole(max_size, 0):
        raise InputError(f"max_size={max_size!r}: must be None or an integer of 0 or more")
    counts: Counter[str] = Counter()
    for number, tokens in enumerate(utterances_tokens):
        if isinstance(tokens, str):
            raise InputError(f"utterance {number} is a string; a list of tokens is needed")
        counts.update(tokens)
    for name in SPECIAL_TOKENS:
        counts.pop(name, None)
    if min_count == 1 and max_size is None:
        return list(counts)
    return [word for word, count in counts.most_common() if count >= min_count][:max_size]


def _is_whole(value: object, low: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= low
