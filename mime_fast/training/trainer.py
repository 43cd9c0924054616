"""The training loop: resumable at any step, evaluated on validation perplexity."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from mime_fast.checkpoints.model_folder import save_model_folder
from mime_fast.config.generation import GenerationConfig
from mime_fast.data.batches import Batch, Example, collate, epoch_order
from mime_fast.errors import CheckpointError, MimeFastError
from mime_fast.evaluation.metrics.likelihood import Likelihood, evaluate_likelihood
from mime_fast.files import json_bytes, naming, whole_file, write_bytes
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.models import frozen_copy
from mime_fast.reference.noise import training_noise
from mime_fast.text.tokenizer import Tokenizer
from mime_fast.training.augmentation import drop_words
from mime_fast.training.candidates import FOLLOW_STEPS, CandidateSource
from mime_fast.training.losses import LossTerms, classifier_terms, loss_terms, reached_by_classifier
from mime_fast.training.recipe import ExtraPairs, Recipe
from mime_fast.training.risk import CandidateBatch, word_cost
from mime_fast.training.schedule import gold_listener_chance, kl_weight, learning_rate

STATE, METRICS = "training_state.pt", "metrics.jsonl"


@dataclass
class Progress:
    """Where a run is; saved with the weights."""

    step: int = 0
    epoch: int = 0
    batch: int = 0  # batches of this epoch that are done
    best_ppl: float = math.inf
    bad_evaluations: int = 0
    stopped: bool = False
    seconds: float = 0.0
    reply_length: float = 0.0  # a running mean of the risk's; 0: none yet


class Trainer:
    """Trains a model into `out`: the best weights so far as a model folder, the state to go on from, metrics.jsonl.

    A run that was killed goes on from its last saved state when it is started again with the same arguments; on a CPU
    with the same number of threads the weights are those of an unbroken run, bit for bit.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: DialogueModel,
        tokenizer: Tokenizer,
        train: Sequence[Example],
        valid: Sequence[Example],
        out: str | os.PathLike[str],
        *,
        extra: Mapping[ExtraPairs, Sequence[Example]] | None = None,
        candidates: CandidateSource | None = None,
        save_every_seconds: float = 120.0,
        show_progress: bool = True,
    ) -> None:
        self.recipe = recipe
        self.model = model
        self.tokenizer = tokenizer
        self.train_examples = train
        self.extra = extra or {}
        self.candidates = candidates
        self.valid_examples = valid
        self.out = Path(out)
        self.save_every_seconds = save_every_seconds
        self.show_progress = show_progress
        self.device = next(model.parameters()).device
        self.average = frozen_copy(model).to(self.device) if recipe.ema_decay else None
        groups, self.rate_shares = self._parameter_groups()
        self.optimizer = torch.optim.AdamW(
            [{"params": group} for group in groups],
            betas=recipe.betas,
            eps=recipe.epsilon,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self.progress = Progress()
        self.total_steps = sum(self._epoch_steps(epoch) for epoch in range(recipe.max_epochs))
        if recipe.max_steps:
            self.total_steps = min(self.total_steps, recipe.max_steps)

    def run(self) -> Progress:
        """Train to the end (all steps, or patience), evaluating on the way."""
        self.out.mkdir(parents=True, exist_ok=True)
        if (self.out / STATE).is_file():
            self._restore()
        else:
            torch.manual_seed(self.recipe.seed)
        self._trim_metrics()
        bar = tqdm(
            total=self.total_steps,
            initial=self.progress.step,
            unit="step",
            disable=not self.show_progress,
            smoothing=0.05,
        )
        with bar:
            while not self._finished():
                self._run_epoch(bar)
        self._save()
        return self.progress

    def _parameter_groups(self) -> tuple[list[list[nn.Parameter]], list[float]]:
        """All parameters in groups, and each group's share of the learning rate."""
        if self.recipe.encoder_rate == 1:
            return [list(self.model.parameters())], [1.0]
        slow = reached_by_classifier(self.model, collate(self.train_examples, [0], self.device))
        known = set(map(id, slow))
        rest = [parameter for parameter in self.model.parameters() if id(parameter) not in known]
        return [slow, rest], [self.recipe.encoder_rate, 1.0]

    def _examples(self, epoch: int) -> Sequence[Example]:
        kinds = [kind for kind, epochs in self.recipe.extra_epochs.items() if epoch < epochs]
        return [*self.train_examples, *(example for kind in kinds for example in self.extra[kind])]

    def _epoch_steps(self, epoch: int) -> int:
        return math.ceil(len(self._examples(epoch)) / self.recipe.batch_size)

    def _run_epoch(self, bar: tqdm[Any]) -> None:
        self.epoch_examples = self._examples(self.progress.epoch)
        order = epoch_order(self.epoch_examples, self.recipe.batch_size, self.recipe.seed, self.progress.epoch)
        saved = started = time.monotonic()
        for indices in order[self.progress.batch :]:
            losses = self._step(indices)
            self.progress.seconds += time.monotonic() - started
            started = time.monotonic()
            bar.update()
            bar.set_postfix({name: f"{value:.3f}" for name, value in losses.items()}, refresh=False)
            due = self.progress.step % self.recipe.eval_every_steps == 0 or self.progress.step == self.total_steps
            if due:
                self._evaluate(losses)
            if self._can_save() and (due or time.monotonic() - saved > self.save_every_seconds):
                self._save()
                saved = time.monotonic()
            if self._finished():
                return
        self.progress.epoch += 1
        self.progress.batch = 0

    def _step(self, indices: Sequence[int]) -> dict[str, float]:
        recipe, progress = self.recipe, self.progress
        progress.step += 1
        progress.batch += 1
        self.model.train()
        batch = drop_words(collate(self.epoch_examples, indices, self.device), recipe.word_dropout)
        terms = self._terms(batch, indices)
        kl = kl_weight(recipe, progress.step)
        beside = recipe.mixture_weight, recipe.risk_weight
        total = terms.total(recipe.alpha, recipe.beta, recipe.gamma, kl, *beside)
        if not torch.isfinite(total):
            raise MimeFastError(f"step {progress.step}: the loss is {total.item()}; a lower learning rate may help")
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        if recipe.max_grad_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), recipe.max_grad_norm)
        rate = learning_rate(recipe, progress.step, self.total_steps, self.model.config.hidden_size)
        for group, share in zip(self.optimizer.param_groups, self.rate_shares, strict=True):
            group["lr"] = rate * share
        self.optimizer.step()
        self._update_average()
        if self.candidates is not None:
            progress.reply_length = (progress.reply_length or terms.reply_length) * 0.95 + terms.reply_length * 0.05
        return {"loss": total.item(), **{name: _number(value) for name, value in vars(terms).items()}}

    def _terms(self, batch: Batch, indices: Sequence[int]) -> LossTerms:
        recipe = self.recipe
        if recipe.classifier_alone:
            return classifier_terms(self.model, batch, recipe.emotion_smoothing, recipe.emotion_teacher)
        candidates, cost = self._candidates(indices)
        return loss_terms(
            self.model,
            batch,
            training_noise(self.model, recipe.seed, indices, self.progress.epoch),
            label_smoothing=recipe.label_smoothing,
            emotion_smoothing=recipe.emotion_smoothing,
            emotion_teacher=recipe.emotion_teacher,
            bfloat16_projection=recipe.bfloat16_projection,
            gold_listeners=self._draw_gold_listeners(),
            candidates=candidates,
            word_cost=cost,
        )

    def _candidates(self, indices: Sequence[int]) -> tuple[CandidateBatch | None, float]:
        """The risk's candidates and what a word of them costs."""
        if self.candidates is None:
            return None, 0.0
        if (self.progress.step - 1) % FOLLOW_STEPS == 0:
            self.candidates.follow(self.average or self.model)
        wanted = self.recipe.reply_length or self.candidates.mean_length
        cost = word_cost(self.progress.reply_length or wanted, wanted)
        return self.candidates(indices).to(self.device), cost

    def _draw_gold_listeners(self) -> bool:
        """Whether this step of a MoEL hears gold emotions; PyTorch's own generator draws it on the CPU."""
        chance = gold_listener_chance(self.recipe, self.progress.step)
        return chance > 0 and bool(torch.rand(()) < chance)

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is None:
            return
        decay = min(self.recipe.ema_decay, (1 + self.progress.step) / (10 + self.progress.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)

    def _evaluate(self, losses: dict[str, float]) -> None:
        model = self.average or self.model
        figures = evaluate_likelihood(model, self.valid_examples, seed=self.recipe.seed)
        self._log(losses, figures)
        if self.progress.step < self.recipe.min_steps and self.progress.step != self.total_steps:
            return
        if figures.ppl < self.progress.best_ppl:
            self.progress.best_ppl, self.progress.bad_evaluations = figures.ppl, 0
            generation = GenerationConfig.from_dict(self.recipe.generation)
            save_model_folder(self.out, model, self.tokenizer, generation)
        else:
            self.progress.bad_evaluations += 1
            self.progress.stopped = self.progress.bad_evaluations >= self.recipe.patience

    def _log(self, losses: dict[str, float], figures: Likelihood) -> None:
        row = {
            "step": self.progress.step,
            "epoch": round(self.progress.epoch + self.progress.batch / self._epoch_steps(self.progress.epoch), 3),
            "seconds": round(self.progress.seconds, 1),
            **{name: round(value, 5) for name, value in losses.items()},
            **dataclasses.asdict(figures),
        }
        with naming(self.out / METRICS), (self.out / METRICS).open("ab") as file:
            file.write(json_bytes(row))
        where = f"step {row['step']} (epoch {row['epoch']})"
        accuracies = f"top-1 {figures.top1:.3f}, top-2 {figures.top2:.3f}, top-5 {figures.top5:.3f}"
        tqdm.write(f"{where}: ppl {figures.ppl:.2f}, {accuracies}", file=sys.stderr)

    def _finished(self) -> bool:
        return self.progress.stopped or self.progress.step >= self.total_steps

    def _can_save(self) -> bool:
        """A run that goes on must look at the weights where the unbroken one did."""
        return self.candidates is None or self.progress.step % FOLLOW_STEPS == 0

    def _save(self) -> None:
        state = {
            "recipe": self.recipe.to_dict(),
            "threads": torch.get_num_threads(),
            "progress": dataclasses.asdict(self.progress),
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state() if self.device.type == "cuda" else None,
        }
        with whole_file(self.out / STATE) as stream:
            torch.save(state, stream)

    def _restore(self) -> None:
        where = self.out / STATE
        try:
            state = torch.load(where, map_location="cpu", weights_only=True)
        except Exception as error:
            raise CheckpointError(f"{where}: not a readable training state ({error})") from None
        started = Recipe.from_dict(state["recipe"]).to_dict()  # keys that are younger than the run have their defaults
        changed = [name for name, value in self.recipe.to_dict().items() if started[name] != value]
        if changed:
            raise CheckpointError(
                f"{where}: the run was started with another {', '.join(changed)}; "
                "give the same recipe or another folder"
            )
        self.progress = Progress(**state["progress"])
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda" and state["random_cuda"] is not None:
            torch.cuda.set_rng_state(state["random_cuda"])

    def _trim_metrics(self) -> None:
        """Drop the lines of steps that will be done again, and a last line that a kill cut short."""
        path = self.out / METRICS
        if path.is_file():
            rows = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("}\n")]
            kept = [row for row in rows if json.loads(row)["step"] <= self.progress.step]
            write_bytes(path, "".join(kept).encode())


def _number(value: Tensor | float) -> float:
    return value.item() if isinstance(value, Tensor) else value
