"""The training loop: steps over batches, resumable at any of them; its kinds say what is trained, and by which loss."""

from __future__ import annotations

import copy
import dataclasses
import io
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from mime_fast.data.batches import Sized, epoch_order
from mime_fast.errors import CheckpointError, MimeFastError
from mime_fast.files import whole_file
from mime_fast.progress import Bar
from mime_fast.streams import tell
from mime_fast.training.recipe import Stage
from mime_fast.training.schedule import learning_rate

PLAIN_EVERY = 60.0  # seconds between lines about the steps, where there is no bar


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


ModelT = TypeVar("ModelT", bound=nn.Module)
ExampleT = TypeVar("ExampleT", bound=Sized)


class Loop(ABC, Generic[ModelT, ExampleT]):
    """Steps over shuffled batches with AdamW, a schedule, clipping and averaged weights.

    What was killed goes on from its last saved state when it is started again with the same arguments; on a CPU with
    the same number of threads the weights are those of an unbroken run, bit for bit.
    """

    def __init__(
        self,
        stage: Stage,
        model: ModelT,
        state: Path,
        *,
        title: str | None = None,
        save_every_seconds: float = 120.0,
        show_progress: bool = True,
    ) -> None:
        self.stage = stage
        self.model = model
        self.state = state
        self.title = title
        self.save_every_seconds = save_every_seconds
        self.show_progress = show_progress
        self.device = next(model.parameters()).device
        self.average = copy.deepcopy(model).eval().requires_grad_(False) if stage.ema_decay else None
        self.progress = Progress()
        self._told = time.monotonic()
        self._saved_at, self._saved_step = time.monotonic(), -1

    @property
    @abstractmethod
    def total_steps(self) -> int:
        """The step that is the last one."""

    @abstractmethod
    def examples(self, epoch: int) -> Sequence[ExampleT]:
        """What an epoch goes over."""

    @abstractmethod
    def loss(self, indices: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        """The loss of `epoch_examples` at `indices`, and the terms of it by their names."""

    @property
    @abstractmethod
    def width(self) -> int:
        """The model's hidden size, which one schedule depends on."""

    def parameter_groups(self) -> tuple[list[list[nn.Parameter]], list[float]]:
        """All parameters in groups, and each group's share of the learning rate."""
        return [list(self.model.parameters())], [1.0]

    def shown(self, losses: dict[str, float]) -> dict[str, str]:
        """What the bar says of a step."""
        return {name: f"{value:.4g}" for name, value in losses.items()}

    def after_step(self, losses: dict[str, float]) -> bool:
        """What else a step asks for; whether the state should be saved now."""
        return False

    def can_save(self) -> bool:
        """Whether a run can go on from here as if it had not been broken."""
        return True

    @property
    def trained(self) -> ModelT:
        """The averaged model, or the model itself."""
        return self.average or self.model

    def run(self) -> Progress:
        """Train to the end: all steps, or until `progress.stopped`."""
        self.state.parent.mkdir(parents=True, exist_ok=True)
        groups, self.rate_shares = self.parameter_groups()
        self.optimizer = torch.optim.AdamW(
            [{"params": group} for group in groups],
            betas=self.stage.betas,
            eps=self.stage.epsilon,
            weight_decay=self.stage.weight_decay,
            fused=True,
        )
        if self.state.is_file():
            self._restore()
        else:
            torch.manual_seed(self.stage.seed)
        self._saved_at = time.monotonic()
        self.begin()
        done = self._finished()
        with Bar(
            self.total_steps, title=self.title or "", unit=" steps", show=None if self.show_progress else False
        ) as bar:
            bar.skip(self.progress.step)
            while not self._finished():
                self._run_epoch(bar)
        if not done and self._saved_step != self.progress.step:
            self._save()
        return self.progress

    def begin(self) -> None:
        """What comes before the first step, of a new run or of one that goes on."""

    def epoch_steps(self, epoch: int) -> int:
        return math.ceil(len(self.examples(epoch)) / self.stage.batch_size)

    def _run_epoch(self, bar: Bar) -> None:
        self.epoch_examples = self.examples(self.progress.epoch)
        order = epoch_order(self.epoch_examples, self.stage.batch_size, self.stage.seed, self.progress.epoch)
        started = time.monotonic()
        for indices in order[self.progress.batch :]:
            losses = self._step(indices)
            self.progress.seconds += time.monotonic() - started
            started = time.monotonic()
            bar.update(1, **self.shown(losses))
            if self.show_progress and not bar.shown and started - self._told > PLAIN_EVERY:
                self._told = started
                figures = ", ".join(f"{name}={value}" for name, value in self.shown(losses).items())
                tell(f"{self.title or 'training'}: step {self.progress.step:,} of {self.total_steps:,}, {figures}")
            due = self.after_step(losses)
            if self.can_save() and (due or time.monotonic() - self._saved_at > self.save_every_seconds):
                self._save()
            if self._finished():
                return
            started = time.monotonic()  # an evaluation is no training
        self.progress.epoch += 1
        self.progress.batch = 0

    def _step(self, indices: Sequence[int]) -> dict[str, float]:
        stage, progress = self.stage, self.progress
        progress.step += 1
        progress.batch += 1
        self.model.train()
        total, terms = self.loss(indices)
        if not torch.isfinite(total):
            raise MimeFastError(f"step {progress.step}: the loss is {total.item()}; a lower learning rate may help")
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        if stage.max_grad_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), stage.max_grad_norm)
        rate = learning_rate(stage, progress.step, self.total_steps, self.width)
        for group, share in zip(self.optimizer.param_groups, self.rate_shares, strict=True):
            group["lr"] = rate * share
        self.optimizer.step()
        self._update_average()
        return {"loss": total.item(), **terms}

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is None:
            return
        decay = min(self.stage.ema_decay, (1 + self.progress.step) / (10 + self.progress.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)

    def _finished(self) -> bool:
        return self.progress.stopped or self.progress.step >= self.total_steps

    def _save(self) -> None:
        state = {
            "threads": torch.get_num_threads(),
            "progress": dataclasses.asdict(self.progress),
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }
        content = io.BytesIO()  # torch.save says nothing of use where its stream fails
        torch.save(state, content)
        with whole_file(self.state) as stream:
            stream.write(content.getbuffer())
        self._saved_at, self._saved_step = time.monotonic(), self.progress.step

    def _restore(self) -> None:
        try:
            state = torch.load(self.state, map_location="cpu", weights_only=True)
            state["progress"].pop("reply_length", None)  # mime_fast 0.3.0 writes it
            self.progress = Progress(**state["progress"])
            self.model.load_state_dict(state["model"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(state["random"])
            if self.device.type == "cuda" and state["random_cuda"] is not None:
                torch.cuda.set_rng_state(state["random_cuda"], self.device)
            threads, now = state["threads"], torch.get_num_threads()
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise CheckpointError(f"{self.state}: not a readable training state ({what})") from None
        if threads != now and self.device.type == "cpu":
            tell(f"{self.state}: trained with {threads} threads so far, now {now}; last digits will be others")
