"""One model in the native back end, in plain float32 PyTorch and in the float64 reference."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from mime_fast.backends.native import NativeBackend
from mime_fast.backends.placement import Placement
from mime_fast.backends.protocol import Backend, Contexts, EmotionOutputs, Requests
from mime_fast.backends.reference import ReferenceBackend
from mime_fast.checkpoints.model_folder import ModelWeights
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import MimeConfig, ModelConfig, MoelConfig
from mime_fast.data.batches import decoder_inputs, pad_rows
from mime_fast.errors import ConfigError
from mime_fast.reference.dialogue_model import DialogueModel
from mime_fast.reference.hypothesis import Hypothesis
from mime_fast.reference.models import new_model
from mime_fast.reference.noise import prior_noise
from mime_fast.reference.running import torch_running
from mime_fast.text.special import EOS_ID, SOS_ID
from tests.native.random_models import Asked, Tensors
from tests.parity import BOUNDS, assert_as_exact, assert_same_replies

BATCH_SIZE = 3  # less than there are dialogues: places are filled again


def torch_model(config: ModelConfig, tensors: Tensors) -> DialogueModel:
    """float32; what only training reads keeps its own random numbers."""
    model = new_model(config)
    missing, unexpected = model.load_state_dict(
        {name: torch.from_numpy(values) for name, values in tensors.items()}, strict=False
    )
    assert not unexpected and all(name.startswith(("posterior.", "unused.")) for name in missing)
    return model.eval()


def parts(asked: Asked) -> tuple[Contexts, Requests]:
    return Contexts(*asked.contexts), Requests(*asked.requests)


class Case:
    """The three; `native` is the one to be compared with the others."""

    def __init__(self, config: ModelConfig, tensors: Tensors, *, isa: str = "auto", threads: int = 1) -> None:
        model = torch_model(config, tensors)
        self.config = config
        self.native: Backend = NativeBackend(ModelWeights.of(model), "float32", BATCH_SIZE, threads, isa)
        self.plain = ReferenceBackend(ModelWeights.of(model), Placement("cpu", "float32", ""), 64, 1)
        exact = torch_model(config, tensors).double()
        self.exact = ReferenceBackend(ModelWeights.of(exact), Placement("cpu", "float64", ""), 64, 1)
        self.all: tuple[Backend, ...] = (self.native, self.plain, self.exact)

    def check_generate(
        self, asked: Asked, options: GenerationConfig, prefixes: Sequence[Sequence[int]] | None = None
    ) -> Sequence[list[Hypothesis]]:
        """What is recognised is as exact as PyTorch's, and replies are the reference's; returns the native ones.

        Where options leave a dialogue no word (a small vocabulary, none twice), both say so, and there are no replies.
        """
        try:
            _, expected = self.exact.generate(*parts(asked), options, prefixes)
        except ConfigError as error:
            if not str(error).startswith("no response can be generated"):
                raise
            with pytest.raises(ConfigError, match=f"^{re.escape(str(error))}$"):
                self.native.generate(*parts(asked), options, prefixes)
            return []
        outputs, replies = self.native.generate(*parts(asked), options, prefixes)
        self.check_outputs(outputs, asked)
        for i, (found, wanted) in enumerate(zip(replies, expected, strict=True)):
            one, forced = asked.only([i]), len(prefixes[i]) if prefixes else 0

            def score(reply: Hypothesis, one: Asked = one, forced: int = forced) -> float:
                return self._score(one, reply, options, forced)

            assert_same_replies(found, wanted, score)
            self._check_logprobs(one, found)
        return replies

    def check_outputs(self, outputs: EmotionOutputs, asked: Asked) -> None:
        nothing = np.full(len(asked), EOS_ID, np.int32), np.arange(len(asked) + 1)
        plain, exact = (backend.score(*parts(asked), *nothing)[0] for backend in (self.plain, self.exact))
        assert outputs.mimicked.tolist() == exact.mimicked.tolist()
        in_mime = ("weights", "mimic_share")
        for name in ("emotion_logits", *(in_mime if isinstance(self.config, MimeConfig) else ())):
            assert_as_exact(*(torch.from_numpy(getattr(each, name)) for each in (outputs, plain, exact)))
        if not isinstance(self.config, MimeConfig):
            assert outputs.weights is outputs.mimic_share is None

    def chooses_clearly(self, asked: Asked) -> bool:
        """Whether no two listeners are so close that either may be used, by the bound of float32.

        The choice is not continuous: where it is a tie, two right implementations may use others.
        """
        config = self.config
        if not isinstance(config, MoelConfig) or not len(asked):
            return True
        logits = torch.from_numpy(self.exact.classify(parts(asked)[0])).sort(dim=1, descending=True).values
        outputs, others = logits[:, : config.top_listeners], logits[:, config.top_listeners :]
        apart = bool((outputs[:, -1:] - others > BOUNDS[torch.float32]).all())
        if config.min_listener_weight:
            above = outputs.log_softmax(dim=1) - math.log(config.min_listener_weight)
            apart &= bool((above.abs() > BOUNDS[torch.float32]).all())
        return apart

    def _check_logprobs(self, one: Asked, replies: Sequence[Hypothesis]) -> None:
        """Log-probs of tokens, and their sums, beside what PyTorch gives the same tokens."""
        for reply in replies:
            plain, exact = (logprobs(backend, one, tokens_of(reply)) for backend in (self.plain, self.exact))
            assert_as_exact(torch.tensor(reply.token_logprobs), plain, exact)
            assert_as_exact(torch.tensor(reply.logprob), plain.sum(), exact.sum())

    def _score(self, one: Asked, reply: Hypothesis, options: GenerationConfig, forced: int) -> float:
        penalty = 0.0 if options.search == "mime" else options.length_penalty
        tokens, values = tokens_of(reply), logprobs(self.exact, one, tokens_of(reply)).tolist()
        if options.num_beams > 1:
            for i in range(forced, len(tokens)):
                values[i] *= options.repetition_penalty if tokens[i] in (SOS_ID, *tokens[:i]) else 1.0
        length: float = reply.count**penalty
        return math.fsum(values) / length


def logprobs(backend: ReferenceBackend, one: Asked, tokens: Sequence[int]) -> Tensor:
    """Of given tokens, PAD among them, after one dialogue."""
    contexts, requests = parts(one)
    model, device = backend.model, backend.placement.device
    with torch_running(1):
        context = model.encode(*(pad_rows([ids.tolist()], device) for ids in (contexts.token_ids, contexts.state_ids)))
        keys = requests.seeds.tolist(), requests.request_ids.tolist()
        guess = context.emotion_logits.argmax(dim=1)
        given = torch.from_numpy(requests.emotions).long()
        noise = prior_noise(model, *keys) if requests.stochastic else None
        memory, _ = model.decoder_memory(context, torch.where(given < 0, guess, given), noise)
        targets = torch.tensor([list(tokens)])
        logits: Tensor = model.fc_decode(model.decode(decoder_inputs(targets), memory))
        return logits.log_softmax(dim=-1)[0].gather(1, targets.T)[:, 0]


def tokens_of(reply: Hypothesis) -> list[int]:
    """With the EOS."""
    return [*reply.token_ids, *([EOS_ID] if reply.finish_reason == "eos" else [])]
