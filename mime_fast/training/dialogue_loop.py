"""The training loop of dialogue models: of stages, and of the encoders that teach them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from mime_fast.data.batches import Batch, Example, collate
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.training.augmentation import drop_words
from mime_fast.training.loop import Loop
from mime_fast.training.losses import LossTerms, reached_by_classifier
from mime_fast.training.schedule import kl_weight


class DialogueLoop(Loop[DialogueModel, Example]):
    """Batches with words dropped, the terms of eq. 32 by the stage's weights."""

    @abstractmethod
    def terms(self, batch: Batch, indices: Sequence[int]) -> LossTerms:
        """The loss of a batch, the examples at `indices`."""

    @property
    def width(self) -> int:
        return self.model.config.hidden_size

    def loss(self, indices: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        stage = self.stage
        batch = drop_words(collate(self.epoch_examples, indices, self.device), stage.word_dropout)
        terms = self.terms(batch, indices)
        kl = kl_weight(stage, self.progress.step)
        total = terms.total(stage.alpha, stage.beta, stage.gamma, kl, stage.mixture_weight, stage.risk_weight)
        return total, {name: value.item() for name, value in vars(terms).items()}

    def parameter_groups(self) -> tuple[list[list[nn.Parameter]], list[float]]:
        """What the classifier reaches learns at `encoder_rate`."""
        if self.stage.encoder_rate == 1:
            return super().parameter_groups()
        slow = reached_by_classifier(self.model, collate(self.examples(0), [0], self.device))
        known = set(map(id, slow))
        rest = [parameter for parameter in self.model.parameters() if id(parameter) not in known]
        return [slow, rest], [self.stage.encoder_rate, 1.0]

    def shown(self, losses: dict[str, float]) -> dict[str, str]:
        """The loss and the terms of it that this stage has."""
        stage = self.stage
        weights = {"classification": stage.alpha, "kl": stage.beta, "reconstruction": stage.beta}
        weights |= {"response": stage.gamma, "mixture": stage.mixture_weight, "risk": stage.risk_weight}
        return {name: f"{value:.4g}" for name, value in losses.items() if value and weights.get(name, 1)}
