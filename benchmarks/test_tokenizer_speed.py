"""Utterances per second of the tokenisation on one core, on made-up sentences.

    OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false pytest benchmarks/test_tokenizer_speed.py

Ops/s times 1,000 is utterances per second.
"""

from collections.abc import Callable

import pytest
import tokenizers
from pytest_benchmark.fixture import BenchmarkFixture

from mime_fast.text import Tokenizer, build_vocabulary, detokenize, tokenize

_SENTENCES = (
    "I finally moved out of my parents' house last week, and I couldn't be happier!",
    "Oh wow, that's great... How does it feel to live on your own?",
    "A bit lonely. My sister said \"you'll get used to it\", but she hasn't lived alone for 10 years.",
    "It cost me $300 (about 50% of what I'd saved) just to rent the van.",
    "I understand. I've been there, and it gets better.",
    "Yesterday my dog ran away and I was gonna look for him all night. He came back by himself!",
    "You must have been so relieved",
    "We're going to the lake on Saturday, do you want to come along?",
)
_UTTERANCES = [f"{sentence} {number}" for number in range(125) for sentence in _SENTENCES]


def test_python(benchmark: BenchmarkFixture) -> None:
    tokens: list[list[str]] = benchmark(lambda: [tokenize(text) for text in _UTTERANCES])
    assert len(tokens) == 1000


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> tokenizers.Tokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    Tokenizer.from_words(build_vocabulary(map(tokenize, _UTTERANCES))).save(path)
    return tokenizers.Tokenizer.from_file(str(path))


def test_library(benchmark: BenchmarkFixture, library: tokenizers.Tokenizer) -> None:
    encode: Callable[[list[str]], list[tokenizers.Encoding]] = library.encode_batch_fast
    encodings: list[tokenizers.Encoding] = benchmark(encode, _UTTERANCES)
    assert len(encodings) == 1000


def test_tokens_to_ids(benchmark: BenchmarkFixture) -> None:
    tokens = [tokenize(text) for text in _UTTERANCES]
    tokenizer = Tokenizer.from_words(build_vocabulary(tokens))
    ids: list[list[int]] = benchmark(lambda: [tokenizer.ids(utterance) for utterance in tokens])
    assert len(ids) == 1000


def test_detokenize(benchmark: BenchmarkFixture) -> None:
    tokens = [tokenize(text) for text in _UTTERANCES]
    texts: list[str] = benchmark(lambda: [detokenize(utterance) for utterance in tokens])
    assert len(texts) == 1000
