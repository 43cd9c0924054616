"""A linear classifier of contexts that teaches L_cls: what it expects of dialogues that it was not fitted on."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mime_fast.data.empathetic_dialogues import Pair
from mime_fast.emotions import LABELS, emotion_index
from mime_fast.errors import ConfigError, MissingPackage
from mime_fast.text.rules import split_words

FOLDS = 5
MIN_DOCUMENTS = 3  # a word or a pair of words that fewer contexts have is left out
INVERSE_DECAY, ITERATIONS = 5.0, 60  # of the fit, which stops early on purpose


def check_sklearn() -> None:
    """MissingPackage if scikit-learn cannot be imported."""
    try:
        from sklearn import __version__  # noqa: F401 (a folder of that name has none)
    except ImportError as error:
        raise MissingPackage(f"emotion_teacher needs scikit-learn ({error}): pip install 'mime-fast[train]'") from None


def dialogue_folds(pairs: Sequence[Pair], count: int = FOLDS, asked: str = "emotion_teacher") -> npt.NDArray[np.int64]:
    """The fold of every pair, [n], from 0; all pairs of a dialogue are in one.

    Args:
        asked: the recipe's key that asked for folds, for the message.

    Raises:
        ConfigError: fewer dialogues than folds.
    """
    from sklearn.model_selection import GroupKFold

    dialogues = [pair.conv_id for pair in pairs]
    if len(set(dialogues)) < count:
        raise ConfigError(f"{asked}: {len(set(dialogues))} dialogues; must be {count} or more")
    folds = np.empty(len(pairs), dtype=np.int64)
    for fold, (_, held_out) in enumerate(GroupKFold(count).split(dialogues, groups=dialogues)):
        folds[held_out] = fold
    return folds


def check_teachable(pairs: Sequence[Pair]) -> None:
    """ConfigError where a classifier of `teach` would have too little to learn from."""
    folds = dialogue_folds(pairs)
    for fold in range(FOLDS):
        rest = [pair for pair, own in zip(pairs, folds.tolist(), strict=True) if own != fold]
        where = f"emotion_teacher: a fold of {FOLDS} leaves {len(rest)} contexts"
        if len({pair.emotion for pair in rest}) < 2:
            raise ConfigError(f"{where} of one emotion, {rest[0].emotion}; must be of 2 or more")
        if not _has_features(pair.context for pair in rest):
            raise ConfigError(f"{where}; one word or more must be in {MIN_DOCUMENTS} of them")


def _has_features(contexts: Iterable[Sequence[str]]) -> bool:
    """Whether a feature is in so many contexts that it is not left out."""
    seen: Counter[str] = Counter()
    for context in contexts:
        features = set(_features(context))
        seen.update(features)
        if any(seen[feature] >= MIN_DOCUMENTS for feature in features):
            return True
    return False


def teach(pairs: Sequence[Pair], threads: int = 1) -> npt.NDArray[np.float32]:
    """P(emotion | context) of every pair, [n, 32], by classifiers that saw no pair of the same dialogue.

    Logistic regression on the tf-idf weights of words and pairs of neighbouring words, each marked by who said it. The
    dialogues are cut into five folds, and each fold is answered by a classifier that is fitted on the other four.

    Args:
        threads: that fit folds at the same time, in this process; the answers do not depend on their number.

    Raises:
        ConfigError: fewer than five dialogues, or too little in them.
        MissingPackage: scikit-learn is not installed.
    """
    check_sklearn()
    check_teachable(pairs)
    from joblib import parallel_config
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import PredefinedSplit, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from threadpoolctl import threadpool_limits

    emotions = np.array([emotion_index(pair.emotion) for pair in pairs])
    classifier = make_pipeline(
        TfidfVectorizer(analyzer=list, min_df=MIN_DOCUMENTS, binary=True, dtype=np.float32),
        LogisticRegression(C=INVERSE_DECAY, max_iter=ITERATIONS),
    )
    # threads, not processes: they end with this one, and SciPy's products of sparse matrices run side by side
    with warnings.catch_warnings(), parallel_config("threading", n_jobs=threads), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = cross_val_predict(
            classifier,
            [_features(pair.context) for pair in pairs],
            emotions,
            cv=PredefinedSplit(dialogue_folds(pairs)),
            method="predict_proba",
        )
    probs = np.zeros((len(pairs), len(LABELS)), dtype=np.float32)
    probs[:, np.unique(emotions)] = found
    return probs


def _features(context: Sequence[str]) -> list[str]:
    """Words and neighbouring words, each with its speaker in front."""
    features = []
    for turn, text in enumerate(context):
        who = "sl"[turn % 2]
        words = split_words(text)
        features += [f"{who} {word}" for word in words]
        features += [f"{who} {first} {second}" for first, second in pairwise(words)]
    return features
