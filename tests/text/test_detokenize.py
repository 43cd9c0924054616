"""Readable text from tokens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mime_fast.errors import InputError
from mime_fast.text import SPECIAL_TOKENS, detokenize, tokenize

# Tokens separated by spaces, and the text.
TABLE = {
    "clitic and period": ("i 'm sorry to hear that .", "i'm sorry to hear that."),
    "n't": ("you do n't say", "you don't say"),
    "all clitics": ("he 's we 'd i 'll you 're they 've", "he's we'd i'll you're they've"),
    "cannot": ("i can not go", "i cannot go"),
    "macintyre": (
        "gon na got ta gim me lem me wan na d 'ye more 'n 't is 't was",
        "gonna gotta gimme lemme wanna d'ye more'n 'tis 'twas",
    ),
    "halves alone": ("can we not go , na", "can we not go, na"),
    "marks": ("well , what ? ! no ; so : yes", "well, what?! no; so: yes"),
    "ellipsis": ("so ... i left .. ok ... .", "so... i left.. ok...."),
    "dollar": ("$ 5 or a $ bill", "$5 or a $ bill"),
    "percent": ("50 % of the % sign", "50% of the % sign"),
    "tag": ("# fun @ home @ #", "#fun @home @ #"),
    "ampersand and dashes": ("you & me -- ok \u2014 yes - no", "you & me -- ok \u2014 yes - no"),
    "brackets": ("( a ) [ b ] { c }", "(a) [b] {c}"),
    "quotes": ("he said `` go home '' .", 'he said "go home".'),
    "two pairs of quotes": ("`` a '' and `` b ''", '"a" and "b"'),
    "second opening quote closes": ("`` hi. `` she said", '"hi." she said'),
    "quote in brackets": ("( `` a '' )", '("a")'),
    "curly quotes": ("\u201c so \u201d it \u2019 s \u2018 x \u2019 y", "\u201cso\u201d it\u2019s \u2018x\u2019 y"),
    "possessive plural": ("my parents ' house", "my parents' house"),
    "smileys": ("nice : ) ok ; ) < 3 no : (", "nice :) ok ;) <3 no :("),
    "colon before a bracket": ("note : ( maybe )", "note: (maybe)"),
    "colon before a closing bracket": ("( so : )", "(so:)"),
    "specials go": ("CLS hello EOS there UNK", "hello there"),
    "case stays": ("hi Anna", "hi Anna"),
    "nothing": ("", ""),
    "only specials": ("EOS", ""),
    "starts with a mark": (". hi", ". hi"),
}


@pytest.mark.parametrize(("tokens", "text"), TABLE.values(), ids=TABLE.keys())
def test_detokenize(tokens: str, text: str) -> None:
    assert detokenize(tokens.split()) == text


@pytest.mark.parametrize(
    "text",
    [
        "we moved to a new house (at last), and i'm so happy!",
        'she yelled "surprise!" and everyone laughed... it was 100% worth the $20.',
        "my sister's cats aren't here; they've gone.",
        "i'm gonna miss him, but he'd say: be happy :)",
    ],
)
def test_natural_text_survives(text: str) -> None:
    assert tokenize(detokenize(tokenize(text))) == tokenize(text)


_TOKENS = """i 'm n't ca do '' `` ` ' ( ) : ; < 3 $ 5 % # @ . , ... can not 't is s [ ] {} {}""".format(
    "\u2019", "\u201c"
).split()
_tokens = st.one_of(
    st.sampled_from(_TOKENS),
    st.sampled_from(SPECIAL_TOKENS),
    st.text("abc\u00e9.'\"", min_size=1, max_size=4),
)


@settings(deadline=None)
@given(st.lists(_tokens, max_size=15))
def test_no_word_is_lost(tokens: list[str]) -> None:
    kept = ['"' if token in ("``", "''") else token for token in tokens if token not in SPECIAL_TOKENS]
    text = detokenize(tokens)
    assert text.replace(" ", "") == "".join(kept)
    assert text == text.strip()
    assert "  " not in text


def test_a_string_is_refused() -> None:
    with pytest.raises(InputError, match="string"):
        detokenize("hello there")


@pytest.mark.parametrize("face", [": (", ": )"])
def test_the_work_does_not_grow_faster_than_the_text(face: str) -> None:
    compared = 0

    class Counted(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    words = [Counted(word) for word in face.split() * 500]
    assert detokenize(words) == " ".join([face.replace(" ", "")] * 500)
    assert compared < 50 * len(words)
