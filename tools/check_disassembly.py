"""No sum is stored inside the loops of the matrix products: python -m tools.check_disassembly [an extension or object].

Reads what `objdump` makes of every `multiply<...>` (csrc/cpu/body/tile.h). In its loops there must be multiplications
and no store of a vector: a compiler that keeps a sum in memory makes the whole kernel half as fast.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

HEADER = re.compile(r"^[0-9a-f]+ <(.*)>:$")
LINE = re.compile(r"^\s*([0-9a-f]+):\s+(?:\{\w+\}\s+)?(\S+)\s*(.*?)\s*$")  # "{vex}" is no name
JUMP_X86 = re.compile(r"^j(?!mp)\w+$")  # conditional ones close loops
JUMP_ARM = re.compile(r"^(b\.\w+|cbn?z|tbn?z)$")
TARGET = re.compile(r"(?:^|,\s*)(?:0x)?([0-9a-f]+)\s*(?:<.*>)?$")
# AT&T syntax: the last operand is where it goes. A prefetch, a compare or a load of a scalar is none.
STORE_X86 = re.compile(r"%[xyz]mm\d+(?:\{[^}]*\})?,\s*[^,]*\([^)]*\)$")
STORE_ARM = re.compile(r"^(st[rp1u]\w*)$")
VECTOR_ARM = re.compile(r"^[{ ]*[qdv]\d+")
PRODUCT = re.compile(r"fmadd|vfmadd|mulps|maddub|dpbusd|dpbf16|mullw|fmla|smlal|[su]dot|\bmla\b|fmul")


@dataclass(frozen=True)
class Instruction:
    address: int
    name: str
    operands: str

    @property
    def target(self) -> int | None:
        """Where it jumps to."""
        if not (JUMP_X86.match(self.name) or JUMP_ARM.match(self.name)):
            return None
        found = TARGET.search(self.operands.partition("//")[0].strip())
        return int(found[1], 16) if found else None

    @property
    def stores_a_vector(self) -> bool:
        if STORE_ARM.match(self.name):
            return bool(VECTOR_ARM.match(self.operands))
        return bool(STORE_X86.search(self.operands))


def functions(disassembly: str, named: str) -> list[tuple[str, list[Instruction]]]:
    """Those whose name contains `named`, with their instructions; each instruction set has one of the same name."""
    found: list[tuple[str, list[Instruction]]] = []
    current: list[Instruction] | None = None
    for line in disassembly.splitlines():
        if header := HEADER.match(line):
            current = [] if named in header[1] else None
            if current is not None:
                found.append((header[1], current))
        elif current is not None and (match := LINE.match(line)):
            current.append(Instruction(int(match[1], 16), match[2], match[3]))
    return found


def loops(instructions: list[Instruction]) -> list[list[Instruction]]:
    """The innermost ones: from a target to the jump back, with no other such within."""
    ranges = [(one.target, one.address) for one in instructions if one.target is not None]
    backward = [(first, last) for first, last in ranges if instructions[0].address <= first <= last]
    inner = [a for a in backward if not any(a != b and a[0] <= b[0] and b[1] <= a[1] for b in backward)]
    return [[one for one in instructions if first <= one.address <= last] for first, last in inner]


def faults(disassembly: str) -> tuple[int, list[str]]:
    """How many products there are, and what is wrong with them."""
    products = functions(disassembly, "multiply<")
    wrong = []
    for name, instructions in products:
        short = re.sub(r"mime_fast::|\(anonymous namespace\)::|\(.*", "", name)
        multiplying = [loop for loop in loops(instructions) if any(PRODUCT.search(one.name) for one in loop)]
        if not multiplying:
            wrong.append(f"{short}: has no loop with a multiplication")
        for loop in multiplying:
            wrong += [
                f"{short}: {one.address:x}: {one.name} {one.operands}: a sum is stored in the loop"
                for one in loop
                if one.stores_a_vector
            ]
    return len(products), wrong


def disassemble(path: Path, objdump: str) -> str:
    command = [objdump, "-d", "-C", "--no-show-raw-insn", str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", type=Path, help="default: the installed mime_fast._native")
    parser.add_argument("--objdump", default="objdump")
    given = parser.parse_args()
    spec = find_spec("mime_fast._native") if given.path is None else None
    path = given.path or (Path(spec.origin) if spec and spec.origin else None)
    if path is None or not path.is_file() or shutil.which(given.objdump) is None:
        print(f"{path or 'mime_fast._native'}: is not there, or {given.objdump} is not", file=sys.stderr)
        return 2
    count, wrong = faults(disassemble(path, given.objdump))
    print("\n".join(wrong))
    print(f"{path.name}: {count} products, {len(wrong)} faults")
    return 1 if wrong or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
