"""Hugging Face's generate with a plain transformer of the same size; transformers is optional."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from transformers import BartConfig, BartForConditionalGeneration

from benchmarks.peer_sizes import FFN, POSITIONS, WIDTH, attention_of
from benchmarks.plain_transformer import words_of
from benchmarks.tasks import Task, Work

PAD, EOS, SOS = 1, 2, 3  # MIME's


class HuggingFaceRunner:
    """BART with one layer each; its heads share the whole width."""

    def __init__(self, folder: Path, vocab_size: int, threads: int) -> None:
        self.ids = {word: index for index, word in enumerate(words_of(folder / "tokenizer.json"))}
        self.threads = threads
        heads = attention_of(folder).heads
        config = BartConfig(
            vocab_size=vocab_size,
            d_model=WIDTH,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=heads,
            decoder_attention_heads=heads,
            encoder_ffn_dim=FFN,
            decoder_ffn_dim=FFN,
            max_position_embeddings=POSITIONS,
            init_std=WIDTH**-0.5,
            dropout=0.0,
            pad_token_id=PAD,
            bos_token_id=SOS,
            eos_token_id=EOS,
            decoder_start_token_id=SOS,
            forced_eos_token_id=None,
        )
        torch.manual_seed(0)
        with self._quiet():
            self.model = BartForConditionalGeneration(config).eval()

    def decode(self, task: Task, work: Work) -> Tensor:
        with self._quiet():
            found: Tensor = self.model.generate(
                **self._padded(work.sources),
                num_beams=task.beams,
                min_new_tokens=work.steps,
                max_new_tokens=work.steps,
                no_repeat_ngram_size=0 if task.forced else 3,
                do_sample=False,
            )
        return found

    def score(self, work: Work) -> Tensor:
        targets = self._padded([[*words, "EOS"] for words in work.targets])["input_ids"]
        starts = torch.full((len(targets), 1), SOS)
        with self._quiet():
            logits = self.model(
                **self._padded(work.sources), decoder_input_ids=torch.cat([starts, targets[:, :-1]], dim=1)
            ).logits
            gold: Tensor = logits.log_softmax(dim=-1).gather(2, targets[..., None])
        return gold

    def _padded(self, rows: list[list[str]]) -> dict[str, Tensor]:
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), PAD)
        for row, words in enumerate(rows):
            ids[row, : len(words)] = torch.tensor([self.ids.get(word, 0) for word in words])
        return {"input_ids": ids, "attention_mask": (ids != PAD).long()}

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with torch.inference_mode(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            torch.set_num_threads(before)
