"""Ids of the seven special entries that open every vocabulary; words start at 7 (the released code's order)."""

from typing import Final

UNK_ID: Final = 0
PAD_ID: Final = 1
EOS_ID: Final = 2
SOS_ID: Final = 3
USR_ID: Final = 4
SYS_ID: Final = 5
CLS_ID: Final = 6

SPECIAL_TOKENS: Final = ("UNK", "PAD", "EOS", "SOS", "USR", "SYS", "CLS")
