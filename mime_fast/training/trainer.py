"""A stage of a run: the loop, evaluated on validation perplexity; the best weights become a model folder."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from mime_fast.checkpoints.model_folder import load_model_folder, save_model_folder
from mime_fast.config.generation import GenerationConfig
from mime_fast.data.batches import Batch, Example
from mime_fast.errors import CheckpointError, MimeFastError
from mime_fast.evaluation.metrics.likelihood import Likelihood, evaluate_likelihood
from mime_fast.files import json_bytes, naming, write_bytes
from mime_fast.progress import note
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.noise import training_noise
from mime_fast.text.tokenizer import Tokenizer
from mime_fast.training.calibration import calibrate
from mime_fast.training.candidates import FOLLOW_STEPS, CandidateSource
from mime_fast.training.dialogue_loop import DialogueLoop
from mime_fast.training.loop import Progress
from mime_fast.training.losses import LossTerms, classifier_terms, loss_terms
from mime_fast.training.recipe import ExtraPairs, Stage
from mime_fast.training.risk import CandidateBatch
from mime_fast.training.schedule import gold_listener_chance

STATE, METRICS = "training_state.pt", "metrics.jsonl"
KEYS = {"step", "epoch", "seconds", *(each.name for each in dataclasses.fields(Likelihood))}


class Trainer(DialogueLoop):
    """Trains a model into `out`: the best weights so far as a model folder, the state to go on from, metrics.jsonl."""

    def __init__(
        self,
        stage: Stage,
        model: DialogueModel,
        tokenizer: Tokenizer,
        train: Sequence[Example],
        valid: Sequence[Example],
        out: str | os.PathLike[str],
        *,
        extra: Mapping[ExtraPairs, Sequence[Example]] | None = None,
        candidates: CandidateSource | None = None,
        title: str | None = None,
        save_every_seconds: float = 120.0,
        show_progress: bool = True,
    ) -> None:
        self.out = Path(out)
        super().__init__(
            stage,
            model,
            self.out / STATE,
            title=title,
            save_every_seconds=save_every_seconds,
            show_progress=show_progress,
        )
        self.tokenizer = tokenizer
        self.train_examples = train
        self.extra = extra or {}
        self.candidates = candidates
        self.valid_examples = valid

    @cached_property
    def total_steps(self) -> int:
        edges = sorted({0, *self.stage.extra_epochs.values(), self.stage.max_epochs})
        steps = sum((end - epoch) * self.epoch_steps(epoch) for epoch, end in pairwise(edges))
        return min(steps, self.stage.max_steps) if self.stage.max_steps else steps

    def run(self) -> Progress:
        """Train to the end, as every loop.

        Raises:
            CheckpointError: the best weights so far are no longer there, or broken.
            MimeFastError: a loss, or the perplexity of every evaluation, was not finite.
        """
        progress = super().run()
        if math.isinf(progress.best_ppl):
            raise MimeFastError(
                f"{self.out}: no perplexity was finite, so no model is kept; a lower learning rate may help"
            )
        return progress

    def begin(self) -> None:
        """Check the best weights; drop the lines of steps to be done again, and a last line that a kill cut short."""
        if not math.isinf(self.progress.best_ppl):
            try:
                load_model_folder(self.out)
            except CheckpointError as error:
                raise CheckpointError(f"{error}; put the run's files back, or give another folder") from None
        path = self.out / METRICS
        if path.is_file():
            kept = [row for row in read_metrics(path) if row["step"] <= self.progress.step]
            write_bytes(path, b"".join(json_bytes(row) for row in kept))
        if self.candidates is not None and not self.state.is_file():
            self._save()  # several evaluations may come before the next step that can be saved

    def examples(self, epoch: int) -> Sequence[Example]:
        kinds = [kind for kind, epochs in self.stage.extra_epochs.items() if epoch < epochs]
        return [*self.train_examples, *(example for kind in kinds for example in self.extra[kind])]

    def terms(self, batch: Batch, indices: Sequence[int]) -> LossTerms:
        stage = self.stage
        if stage.classifier_alone:
            return classifier_terms(self.model, batch, stage.emotion_smoothing, stage.emotion_teacher)
        candidates = self._candidates(indices)
        return loss_terms(
            self.model,
            batch,
            training_noise(self.model, stage.seed, indices, self.progress.epoch),
            label_smoothing=stage.label_smoothing,
            emotion_smoothing=stage.emotion_smoothing,
            emotion_teacher=stage.emotion_teacher,
            bfloat16_projection=stage.bfloat16_projection,
            gold_listeners=self._draw_gold_listeners(),
            candidates=candidates,
        )

    def _candidates(self, indices: Sequence[int]) -> CandidateBatch | None:
        """The risk's; None where a stage has no risk."""
        if self.candidates is None:
            return None
        if (self.progress.step - 1) % FOLLOW_STEPS == 0:
            self.candidates.follow(self.trained)
        return self.candidates(indices).to(self.device)

    def _draw_gold_listeners(self) -> bool:
        """Whether this step of a MoEL uses gold listeners; PyTorch's own generator draws it on the CPU."""
        chance = gold_listener_chance(self.stage, self.progress.step)
        return chance > 0 and bool(torch.rand(()) < chance)

    def after_step(self, losses: dict[str, float]) -> bool:
        due = self.progress.step % self.stage.eval_every_steps == 0 or self.progress.step == self.total_steps
        if due:
            self._evaluate(losses)
        return due

    def _evaluate(self, losses: dict[str, float]) -> None:
        model = self._calibrated() if self.stage.calibrate else self.trained
        figures = evaluate_likelihood(
            model, self.valid_examples, seed=self.stage.seed, show_progress=self.show_progress
        )
        self._log(losses, figures)
        if self.progress.step < self.stage.min_steps and self.progress.step != self.total_steps:
            return
        if figures.ppl < self.progress.best_ppl:
            self.progress.best_ppl, self.progress.bad_evaluations = figures.ppl, 0
            generation = GenerationConfig.from_dict(self.stage.generation)
            save_model_folder(self.out, model, self.tokenizer, generation)
        else:
            self.progress.bad_evaluations += 1
            self.progress.stopped = self.progress.bad_evaluations >= self.stage.patience

    def _calibrated(self) -> DialogueModel:
        """A copy: the weights in training stay as they are."""
        twin = copy.deepcopy(self.trained)
        factor = calibrate(twin, self.valid_examples, seed=self.stage.seed)
        if self.show_progress:
            note(f"calibrated: logits times {factor:.3f}")
        return twin

    def _log(self, losses: dict[str, float], figures: Likelihood) -> None:
        row = {
            "step": self.progress.step,
            "epoch": round(self.progress.epoch + self.progress.batch / self.epoch_steps(self.progress.epoch), 3),
            "seconds": round(self.progress.seconds, 1),
            **{name: round(value, 5) for name, value in losses.items()},
            **dataclasses.asdict(figures),
        }
        path = self.out / METRICS
        with naming(path), path.open("ab") as file:
            file.write(json_bytes(row))
        where = f"step {row['step']} (epoch {row['epoch']})"
        accuracies = f"top-1 {figures.top1:.3f}, top-2 {figures.top2:.3f}, top-5 {figures.top5:.3f}"
        if self.show_progress:
            note(f"{where}: ppl {figures.ppl:.2f}, {accuracies}")

    def can_save(self) -> bool:
        """A run that goes on must look at the weights where the unbroken one did."""
        return self.candidates is None or self.progress.step % FOLLOW_STEPS == 0


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a stage's `metrics.jsonl`, one for each evaluation; a last one that a kill cut short is left out.

    Raises:
        CheckpointError: a line is not one that a run writes.
    """
    with naming(path):
        lines = path.read_bytes().split(b"\n")
    found = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            row = json.loads(line)
            if not row.keys() >= KEYS:
                raise ValueError(f"keys {sorted(KEYS - row.keys())} are missing")
        except (ValueError, AttributeError) as error:
            raise CheckpointError(f"{path}, line {number}: no line of a run's metrics ({error})") from None
        found.append(row)
    return found
