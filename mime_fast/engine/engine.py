"""The engine: dialogues in, replies, emotions and scores out, in batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from mime_fast._version import __version__
from mime_fast.config import GenerationConfig, MimeConfig, Search, check_bool
from mime_fast.data.batches import decoder_inputs, pad_rows
from mime_fast.emotions import LABELS, polarity
from mime_fast.engine.assemble import candidate_of, emotions_of, mixtures_of
from mime_fast.engine.device import Placement
from mime_fast.engine.inputs import (
    Dialogue,
    Truncation,
    given_emotions,
    prepare_dialogues,
    prepare_responses,
    request_keys,
)
from mime_fast.engine.model_folder import ModelFolder
from mime_fast.engine.options import resolve_options
from mime_fast.engine.results import Classification, Reply, Score
from mime_fast.reference.mime import Context, Memory
from mime_fast.reference.noise import prior_noise
from mime_fast.reference.response_emotion import Mixture
from mime_fast.reference.search import search as run_search
from mime_fast.text.special import EOS_ID, PAD_ID

BATCH_SIZE = 64  # dialogues that are encoded and decoded together


class Engine:
    """A loaded model. Made by `mime_fast.load`; calls do not change it.

    Attributes:
        config: the model's sizes and switches.
        generation_config: the model's default search options.
        tokenizer: text to tokens and ids.
        model: the reference model.
    """

    def __init__(self, folder: ModelFolder, name: str, placement: Placement, threads: int | None) -> None:
        self.config: MimeConfig = folder.model.config
        self.generation_config: GenerationConfig = folder.generation
        self.tokenizer = folder.tokenizer
        self.name = name
        self.threads = threads
        self._placement = placement
        self.model = folder.model.to(device=placement.device, dtype=placement.dtype).eval()

    def generate(
        self,
        dialogues: Sequence[Dialogue],
        *,
        num_beams: int | None = None,
        max_new_tokens: int | None = None,
        min_new_tokens: int | None = None,
        do_sample: bool | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        temperature: float | None = None,
        length_penalty: float | None = None,
        no_repeat_ngram_size: int | None = None,
        num_return_sequences: int | None = None,
        search: Search = "standard",
        stochastic: bool = True,
        seed: int | Sequence[int] = 0,
        request_ids: Sequence[int] | None = None,
        emotions: Sequence[str | int | None] | None = None,
        strict_turns: bool = True,
        truncation: Truncation | None = None,
    ) -> list[Reply]:
        """Reply to each dialogue; replies come in the order of the dialogues.

        A reply depends on its dialogue, options, seed and request id, not on the others in the call.

        Args:
            dialogues: lists of utterances, the user's first and last; text, or tokens that are taken as they are.
            num_beams .. num_return_sequences: as in Hugging Face's GenerationConfig; None: the model's own value.
            search: "standard", or "mime", the released beam, which takes only beams and lengths.
            stochastic: sample the emotion mixture; False: z = mu (the paper's "w/o STC").
            seed: from 0 to 2^64 - 1, one for all or one a dialogue.
            request_ids: numbers that tell requests of one seed apart; 0 .. n - 1 by default.
            emotions: labels (names or indices) whose polarity is mimicked; None: the classifier's.
            strict_turns: refuse an even number of turns.
            truncation: None refuses more words than the model has positions for; "oldest" drops early turns in pairs.

        Raises:
            InputError: a dialogue, seed, request id or emotion cannot be used; the message names the dialogue.
            ConfigError: an option is not allowed.
        """
        given = {
            "num_beams": num_beams,
            "max_new_tokens": max_new_tokens,
            "min_new_tokens": min_new_tokens,
            "do_sample": do_sample,
            "top_k": top_k,
            "top_p": top_p,
            "temperature": temperature,
            "length_penalty": length_penalty,
            "no_repeat_ngram_size": no_repeat_ngram_size,
            "num_return_sequences": num_return_sequences,
        }
        options = resolve_options(self.generation_config, search, given, self.config.max_positions)
        tokens = self._prepare(dialogues, strict_turns, truncation)
        seeds, requests = request_keys(seed, request_ids, len(tokens))
        check_bool("stochastic", stochastic)
        labels = given_emotions(emotions, len(tokens))
        replies: dict[int, Reply] = {}
        with self.running():
            for batch in self._batches(tokens):
                context = self._encode([tokens[i] for i in batch])
                keys = [seeds[i] for i in batch], [requests[i] for i in batch]
                mixture, memory, mimicked = self._remember(context, [labels[i] for i in batch], stochastic, *keys)
                state = self.model.start_decoding(memory)
                found = run_search(
                    self.model,
                    state,
                    len(batch),
                    options,
                    seeds=keys[0],
                    request_ids=keys[1],
                    device=self._placement.device,
                )
                heard = emotions_of(context)
                mixtures = mixtures_of(mixture, memory, mimicked, ctx=not self.config.drop_ctx)
                for i, hypotheses, (emotion, probs), view in zip(batch, found, heard, mixtures, strict=True):
                    replies[i] = Reply([candidate_of(one, self.tokenizer) for one in hypotheses], emotion, probs, view)
        return [replies[i] for i in range(len(tokens))]

    def classify(
        self, dialogues: Sequence[Dialogue], *, strict_turns: bool = True, truncation: Truncation | None = None
    ) -> list[Classification]:
        """The user's emotion in each dialogue (eq. 4-5); arguments and errors as for `generate`."""
        tokens = self._prepare(dialogues, strict_turns, truncation)
        results: dict[int, Classification] = {}
        with self.running():
            for batch in self._batches(tokens):
                emotions = emotions_of(self._encode([tokens[i] for i in batch]))
                for i, (emotion, probs) in zip(batch, emotions, strict=True):
                    results[i] = Classification(emotion, probs, polarity(LABELS.index(emotion)))
        return [results[i] for i in range(len(tokens))]

    def score(
        self,
        dialogues: Sequence[Dialogue],
        responses: Sequence[str | Sequence[str]],
        *,
        emotions: Sequence[str | int | None] | None = None,
        stochastic: bool = True,
        seed: int | Sequence[int] = 0,
        request_ids: Sequence[int] | None = None,
        strict_turns: bool = True,
        truncation: Truncation | None = None,
    ) -> list[Score]:
        """Log-probs of given responses, one a dialogue, EOS counted; arguments and errors as for `generate`."""
        tokens = self._prepare(dialogues, strict_turns, truncation)
        words = prepare_responses(responses, len(tokens), self.tokenizer, self.config.max_positions - 1)
        seeds, requests = request_keys(seed, request_ids, len(tokens))
        check_bool("stochastic", stochastic)
        labels = given_emotions(emotions, len(tokens))
        scores: dict[int, Score] = {}
        with self.running():
            for batch in self._batches(tokens):
                context = self._encode([tokens[i] for i in batch])
                keys = [seeds[i] for i in batch], [requests[i] for i in batch]
                mixture, memory, mimicked = self._remember(context, [labels[i] for i in batch], stochastic, *keys)
                targets = [[*self.tokenizer.ids(words[i]), EOS_ID] for i in batch]
                logprobs = self._target_logprobs(targets, memory)
                rows = zip(
                    batch,
                    logprobs,
                    emotions_of(context),
                    mixtures_of(mixture, memory, mimicked, ctx=not self.config.drop_ctx),
                    strict=True,
                )
                for i, values, (emotion, probs), view in rows:
                    scores[i] = Score(words[i], values, emotion, probs, view)
        return [scores[i] for i in range(len(tokens))]

    def prepare(
        self, dialogue: Dialogue, *, strict_turns: bool = True, truncation: Truncation | None = None
    ) -> list[list[str]]:
        """One dialogue as the tokens that the model would read; InputError as for `generate`."""
        return self._prepare([dialogue], strict_turns, truncation)[0]

    def describe(self) -> dict[str, Any]:
        """What runs where, and why; JSON-ready."""
        why = "the only implementation in this version"
        return {
            "version": __version__,
            "model": self.name,
            "preset": self.config.preset,
            "vocab_size": self.config.vocab_size,
            "parameters": self.model.num_parameters(),
            "device": str(self._placement.device),
            "device_reason": self._placement.reason,
            "precision": self._placement.precision,
            "threads": self.threads or torch.get_num_threads(),
            "implementations": {
                op: {"choice": "reference", "reason": why}
                for op in ("encode", "response_emotion", "gate_fusion", "decode", "search", "random_numbers")
            },
        }

    def _prepare(
        self, dialogues: Sequence[Dialogue], strict_turns: bool, truncation: Truncation | None
    ) -> list[list[list[str]]]:
        max_words = self.config.max_positions - 1
        return prepare_dialogues(dialogues, self.tokenizer, max_words, strict_turns=strict_turns, truncation=truncation)

    def _batches(self, tokens: Sequence[Sequence[Sequence[str]]]) -> Iterator[list[int]]:
        """Indices of dialogues that go together, longest first."""
        order = sorted(range(len(tokens)), key=lambda i: sum(map(len, tokens[i])), reverse=True)
        return (order[start : start + BATCH_SIZE] for start in range(0, len(order), BATCH_SIZE))

    def _encode(self, tokens: Sequence[Sequence[Sequence[str]]]) -> Context:
        ids = [self.tokenizer.encode_context(turns) for turns in tokens]
        device = self._placement.device
        return self.model.encode(pad_rows([row for row, _ in ids], device), pad_rows([row for _, row in ids], device))

    def _remember(
        self,
        context: Context,
        labels: Sequence[int | None],
        stochastic: bool,
        seeds: Sequence[int],
        request_ids: Sequence[int],
    ) -> tuple[Mixture, Memory, Tensor]:
        """The mixture, the decoder's memory, and the emotion indices [B] that were mimicked."""
        predicted = context.emotion_logits.argmax(dim=1).tolist()
        chosen = [guess if label is None else label for label, guess in zip(labels, predicted, strict=True)]
        mimicked = torch.tensor(chosen, device=self._placement.device)
        noise = prior_noise(self.model, seeds, request_ids) if stochastic else None
        mixture = self.model.sample(context.c, noise)
        return mixture, self.model.remember(context, mixture, mimicked), mimicked

    def _target_logprobs(self, targets: Sequence[Sequence[int]], memory: Memory) -> list[list[float]]:
        ids = pad_rows(targets, self._placement.device)
        real = ids != PAD_ID
        logits = self.model.fc_decode(self.model.decode(decoder_inputs(ids), memory)[real])
        gold = logits.gather(1, ids[real][:, None])[:, 0] - logits.logsumexp(dim=-1)
        return [row.tolist() for row in gold.split([len(target) for target in targets])]

    @contextmanager
    def running(self) -> Iterator[None]:
        """No gradients, and this engine's number of threads, while the block runs."""
        before = torch.get_num_threads()
        # Setting it is process-wide: a thread that came while another one had it set must not set it back to that.
        wanted = before if self.threads is None else self.threads
        if wanted != before:
            torch.set_num_threads(wanted)
        try:
            with torch.inference_mode():
                yield
        finally:
            if wanted != before:
                torch.set_num_threads(before)
