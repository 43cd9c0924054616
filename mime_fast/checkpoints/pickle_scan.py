"""A pickle's opcodes, read before it is built: no small one may take all memory, or endless time for one key."""

from __future__ import annotations

import pickletools
from typing import IO, Any

from mime_fast.errors import CheckpointError

MAX_DEPTH = 16  # of tuples in tuples; those of a vocabulary's file have two
MAX_REUSE = 16  # values that are hashed again, per byte of the file
MAX_BITS, MAX_LONGS = 60, 100  # whole numbers of more bits: any number of them can have one hash, by 2**61 - 1

# Of an object on the stack: how deep tuples in it are, and how many values are read each time that it is hashed.
_Hashed = tuple[int, int]
_LIGHT: _Hashed = (0, 1)
_MARK: _Hashed = (-1, 0)

_PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_GETS = {"GET", "BINGET", "LONG_BINGET", "DUP"}
_TUPLES = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET")
_LONGS = ("INT", "LONG", "LONG1", "LONG4")
_CHANGING = ("APPEND", "APPENDS", "ADDITEMS", "SETITEM", "SETITEMS", "BUILD")  # what they change stays on the stack


def _effect(op: pickletools.OpcodeInfo) -> tuple[bool, int, tuple[_Hashed, ...]]:
    """Whether it takes all down to a mark, how many objects below that, and what it puts in their place."""
    marked = pickletools.markobject in op.stack_before
    taken = op.stack_before.index(pickletools.markobject) if marked else len(op.stack_before)
    if op.name in _CHANGING:
        return marked, taken - 1, ()
    return marked, taken, (_MARK if op.name == "MARK" else _LIGHT,) * len(op.stack_after)


_EFFECTS = {op.name: _effect(op) for op in pickletools.opcodes}
_PUSHES = {name for name, effect in _EFFECTS.items() if effect == (False, 0, (_LIGHT,))} - {*_PUTS, *_GETS, *_LONGS}


def check_pickle(stream: IO[bytes], size: int) -> None:
    """Refuse a pickle that costs more than its size: its memo's places are those of a list, and hashes are not kept.

    Args:
        stream: of which the pickle is read to its end.
        size: the file's, in bytes.

    Raises:
        CheckpointError: a place of the memo beyond the file's size, tuples too deep in each other, tuples that are used
            again too often, or too many whole numbers of more than 60 bits.
        Exception: of any kind, where the pickle is broken.
    """
    there = bytearray(size)  # places of the memo
    entries = 0
    heavy: dict[int, _Hashed] = {}  # those with anything but _LIGHT
    reuse, longs = MAX_REUSE * size, 0
    stack: list[_Hashed] = []
    argument: Any
    for op, argument, _ in pickletools.genops(stream):
        name = op.name
        if name in _PUSHES:
            stack.append(_LIGHT)
        elif name in _PUTS:
            index = entries if name == "MEMOIZE" else argument
            if not 0 <= index < len(there):
                raise CheckpointError(f"refused: place {index} of its memo; must be below its size of {size} bytes")
            entries += not there[index]
            there[index] = 1
            heavy.pop(index, None)
            if stack[-1] is not _LIGHT:
                heavy[index] = stack[-1]
        elif name in _GETS:
            again = stack[-1] if name == "DUP" else heavy.get(argument, _LIGHT)
            reuse -= again[1]
            if reuse < 0:
                raise CheckpointError("refused: tuples that are used again, of more values than a vocabulary has")
            stack.append(again)
        elif name in _LONGS:
            bits = argument.bit_length()
            longs += bits > MAX_BITS
            if longs > MAX_LONGS:
                raise CheckpointError(f"refused: more than {MAX_LONGS} whole numbers of more than {MAX_BITS} bits")
            stack.append((0, 1 + bits // 32) if bits > MAX_BITS else _LIGHT)
        else:
            _carry_out(name, stack)


def _carry_out(name: str, stack: list[_Hashed]) -> None:
    marked, taken, put = _EFFECTS[name]
    inside: list[_Hashed] = []
    if marked:
        while (each := stack.pop()) is not _MARK:
            inside.append(each)
    for _ in range(taken):
        inside.append(stack.pop())
    if name in _TUPLES:
        depth = 1 + max((each[0] for each in inside), default=0)
        if depth > MAX_DEPTH:
            raise CheckpointError(f"refused: tuples {depth} deep in each other; must be at most {MAX_DEPTH}")
        stack.append((depth, 1 + sum(each[1] for each in inside)))
    else:
        stack.extend(put)
