"""Text: tokens, ids, vocabulary, and tokens back to readable English."""

from mime_fast.text.detokenize import detokenize
from mime_fast.text.special import CLS_ID, EOS_ID, PAD_ID, SOS_ID, SPECIAL_TOKENS, SYS_ID, UNK_ID, USR_ID
from mime_fast.text.tokenizer import Tokenizer, tokenize
from mime_fast.text.vocabulary import build_vocabulary

__all__ = [
    "CLS_ID",
    "EOS_ID",
    "PAD_ID",
    "SOS_ID",
    "SPECIAL_TOKENS",
    "SYS_ID",
    "UNK_ID",
    "USR_ID",
    "Tokenizer",
    "build_vocabulary",
    "detokenize",
    "tokenize",
]
