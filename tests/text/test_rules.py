"""Every rule of the tokenisation on made-up sentences, and equality of its three spellings."""

import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mime_fast.errors import InputError
from mime_fast.text import Tokenizer, rules, tokenize
from tests.text.contractions import CONTRACTIONS

# Text and its tokens, separated by spaces.
TABLE = {
    "lower case": ("My Cat SLEEPS", "my cat sleeps"),
    "white space of all kinds": ("  a\tb\n\nc\u00a0d\u3000e ", "a b c d e"),
    "final period": ("We sang. We danced.", "we sang . we danced ."),
    "period before a digit": ("It grew 2.5 times.", "it grew 2.5 times ."),
    "initials keep their period": ("mr a. smith saw plan b. it works.", "mr a. smith saw plan b. it works ."),
    "initial at the end": ("we chose plan b.", "we chose plan b ."),
    "initial before a question": ("plan b. (or c)?", "plan b . ( or c ) ?"),
    "number keeps its period": ("there were 10. she left", "there were 10. she left"),
    "number at the end": ("there were 10.", "there were 10 ."),
    "number before a number": ("there were 10. 12 left", "there were 10 . 12 left"),
    "number after a dollar sign": ("it cost $10. she paid", "it cost $ 10 . she paid"),
    "abbreviation with inner periods": ("the u.s. is big", "the u.s . is big"),
    "period inside brackets": ("(He left.) I stayed.", "( he left . ) i stayed ."),
    "only the last mark of a chunk ends": ("oh (so.)now.) ok", "oh ( so. ) now . ) ok"),
    "no space after a period": ("we left.then it rained", "we left.then it rained"),
    "two periods": ("well.. maybe", "well.. maybe"),
    "two periods at the end": ("well..", "well.."),
    "three periods": ("well... maybe", "well ... maybe"),
    "three periods inside": ("well...maybe", "well ... maybe"),
    "four periods": ("well.... maybe", "well ... . maybe"),
    "five periods": ("well..... maybe", "well ... .. maybe"),
    "marks": ("What?! No!!", "what ? ! no ! !"),
    "marks inside": ("wow!so", "wow ! so"),
    "comma": ("yes,no, 3,000 and 3, 4", "yes , no , 3,000 and 3 , 4"),
    "comma at the end": ("so,", "so ,"),
    "doubled comma": ("well,,so", "well , ,so"),
    "colon": ("at 5:30 he said: go", "at 5:30 he said : go"),
    "semicolon": ("a;b", "a ; b"),
    "signs": ("50% of $20 & #1 @home", "50 % of $ 20 & # 1 @ home"),
    "star stays": ("so *very* good **", "so *very* good **"),
    "slash, plus and underscore stay": ("and/or a+b c_d", "and/or a+b c_d"),
    "brackets": ("(a)[b]{c}<d>", "( a ) [ b ] { c } < d >"),
    "smiley": ("nice :) :( ;)", "nice : ) : ( ; )"),
    "hyphen stays": ("a well-known - fact", "a well-known - fact"),
    "double dash": ("wait--what --- no", "wait -- what -- - no"),
    "long dashes": ("wait\u2013what\u2014no", "wait \u2013 what \u2014 no"),
    "quotes": ('He said "go home" twice.', "he said `` go home '' twice ."),
    "quotes at the start": ('"Go" he said', "`` go '' he said"),
    "quote after a bracket": ('("go")', "( `` go '' )"),
    "quote inside a word": ('a"b', "a '' b"),
    "quote after a sentence end": ('"I won." "So?"', "`` i won . '' `` so ? ''"),
    "quote that starts a sentence": ('I won!"so', "i won ! `` so"),
    "two single quotes": ("the ''end'' is", "the `` end '' is"),
    "back quotes": ("a `b` ``c``", "a ` b ` `` c ``"),
    "opening single quote stays": ("the 'best day' ever", "the 'best day ' ever"),
    "plural possessive": ("my parents' house", "my parents ' house"),
    "single then double quote": ("say 'no'\"", "say 'no ' ''"),
    "curly quotes": ("\u201cso\u201d it\u2019s \u2018x\u2019", "\u201c so \u201d it \u2019 s \u2018 x \u2019"),
    "clitics": (
        "he's he'd he'll she've we're haven't y'all",
        "he 's he 'd he 'll she 've we 're have n't y'all",
    ),
    "clitics before marks": ("is it john's? (I haven't)", "is it john 's ? ( i have n't )"),
    "two clitics": ("he'd've gone, she couldn've's", "he'd 've gone , she couldn 've 's"),
    "clitic inside": ("rock'n'roll o'clock", "rock'n'roll o'clock"),
    "cannot": ("I cannot, can't", "i can not , can not"),
    "macintyre": (
        "gonna gotta gimme lemme wanna d'ye more'n 'tis 'twas",
        "gon na got ta gim me lem me wan na d 'ye more 'n 't is 't was",
    ),
    "macintyre inside": ("non-cannot-x wanna-be cannots", "non- can not -x wanna-be cannots"),
    "contraction inside a word": ("hadn't isn'ts", "had n't is nots"),
    "odd characters": (
        "a\x00b \U0001f600 \u65e5\u672c\u8a9e. caf\u00e9",
        "a\x00b \U0001f600 \u65e5\u672c\u8a9e . caf\u00e9",
    ),
    "nothing": ("", ""),
    "only white space": (" \n", ""),
}


@pytest.mark.parametrize(("text", "tokens"), TABLE.values(), ids=TABLE.keys())
def test_rule(text: str, tokens: str) -> None:
    assert tokenize(text) == tokens.split()


@pytest.mark.parametrize(("text", "tokens"), TABLE.values(), ids=TABLE.keys())
def test_oracle_agrees_with_the_table(text: str, tokens: str) -> None:
    pytest.importorskip("nltk")
    from tests.text.nltk_oracle import oracle

    assert oracle(text) == tokens.split()


@pytest.mark.parametrize(("short", "long"), CONTRACTIONS)
def test_contraction_is_spelled_out(short: str, long: str) -> None:
    expected = long.replace("cannot", "can not").split()
    assert tokenize(f"so {short.capitalize()} ok") == ["so", *expected, "ok"]


def test_contractions_are_those_of_the_released_code_and_of_the_docs() -> None:
    """In this order: each is replaced within what the ones before it have left."""
    assert rules.CONTRACTIONS == CONTRACTIONS
    page = (Path(__file__).parents[2] / "docs" / "text.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"plain substrings: (.+?)\.\n", page, re.DOTALL)
    named = re.sub(r"[*\s]+", " ", listed.replace("(to *cannot*)", ""))
    assert [word.strip() for word in named.split(",")] == [short for short, _ in CONTRACTIONS]


def test_text_must_be_a_string() -> None:
    with pytest.raises(InputError, match="bytes"):
        tokenize(b"hello")  # type: ignore[arg-type]


_WORDS = """
hi Don't cannot gonna wanna gimme it's he'd they've haven't dog's dogs' 'tis 'em 3,000 10. a. b i u.s. $5 50% so...
well.. wow! what? (yes) "no" 'x' -- - a-b e.g. more'n lol :) ;) <3 @me #tag and/or * ok ... .. .... said, then: now;
no!" ok." ok.) {}yes{} it{}s {}
""".format("\u201c", "\u201d", "\u2019", "\u2014").split()
_sentences = st.lists(st.sampled_from(_WORDS), max_size=12).map(" ".join)
_dense = st.text(st.sampled_from("aabnt1,.:'\"  !?()-$%*`;s\n\t\x1c\x00\u00a0\u201c\u2019\u00e9"), max_size=40)


@settings(max_examples=300, deadline=None)
@given(_sentences)
def test_equals_nltk_on_sentences(text: str) -> None:
    pytest.importorskip("nltk")
    from tests.text.nltk_oracle import oracle

    assert tokenize(text) == oracle(text)


@settings(max_examples=300, deadline=None)
@given(st.one_of(_sentences, _dense, st.text(max_size=60)))
def test_nothing_but_white_space_is_lost(text: str) -> None:
    def bare(value: str) -> str:
        return re.sub(r"[\s\"`']", "", value)

    spelled = text.lower()
    for short, long in CONTRACTIONS:
        spelled = spelled.replace(short, long)
    assert bare("".join(tokenize(text))) == bare(spelled)


def test_released_utterances(fixtures_dir: Path) -> None:
    lines = (fixtures_dir / "tokenizer.jsonl").read_text(encoding="utf-8").splitlines()
    cases = [json.loads(line) for line in lines]
    different = [case["text"] for case in cases if tokenize(case["text"]) != case["tokens"]]
    assert len(cases) == 1012
    assert len(different) == 3  # docs/text.md


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> object:
    tokenizers = pytest.importorskip("tokenizers")
    path = tmp_path_factory.mktemp("library") / "tokenizer.json"
    Tokenizer.from_words([]).save(path)
    return tokenizers.Tokenizer.from_file(str(path))


def _library_tokens(library: object, text: str) -> list[str]:
    normal = library.normalizer.normalize_str(text)  # type: ignore[attr-defined]
    return [piece for piece, _ in library.pre_tokenizer.pre_tokenize_str(normal)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("text", "tokens"), TABLE.values(), ids=TABLE.keys())
def test_library_gives_the_same_tokens(library: object, text: str, tokens: str) -> None:
    assert _library_tokens(library, text) == tokens.split()


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(_sentences, _dense, st.text(max_size=60)))
def test_library_equals_python(library: object, text: str) -> None:
    if text.lower() == "".join(char.lower() for char in text):  # only Python knows the Greek final sigma
        assert _library_tokens(library, text) == tokenize(text)


@pytest.mark.parametrize(
    "repeated", [" ", " \t", " \n", "\n ", " \r\n", "\xa0 ", "\t", " a", "a.", "'", '"', "a's ", "- -", "(", "..."]
)
def test_time_does_not_grow_faster_than_the_text(repeated: str) -> None:
    def seconds(count: int) -> float:
        text = "hello" + repeated * count + "bye"
        started = time.process_time()
        rules.split_words(text)
        return time.process_time() - started

    short = min(seconds(1000) for _ in range(3))
    assert min(seconds(8000) for _ in range(3)) < 24 * short + 0.02  # a square would take 64 times
