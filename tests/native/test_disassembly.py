"""The sums of the matrix products stay in registers, as tools/check_disassembly.py sees it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mime_fast import _native
from tools.check_disassembly import disassemble, faults

GOOD = """
0000000000001000 <void multiply<DotFloat32, 1, 2, false>(float*)>:
    1000:\tvmovups (%rdx),%ymm1
    1004:\tvbroadcastss (%rax),%ymm2
    1008:\tvfmadd231ps %ymm1,%ymm2,%ymm4
    100c:\tprefetcht0 0x800(%rdx)
    1010:\tcmp    %rcx,%rdi
    1014:\tjae    1000 <void multiply<DotFloat32, 1, 2, false>(float*)>
    1018:\tvmovaps %ymm4,(%r9)
    101c:\tret
"""
STORED = GOOD.replace("cmp    %rcx,%rdi", "vmovaps %ymm4,-0x20(%rsp)")
ARM = """
0000000000001000 <void multiply<DotFloat32, 1, 1, false>(float*)>:
    1000:\tldr\tq1, [x1], #16
    1004:\tld1r\t{v2.4s}, [x0]
    1008:\tfmla\tv0.4s, v1.4s, v2.4s
    100c:\tcmp\tx3, x4
    1010:\tb.ne\t1000 <void multiply<DotFloat32, 1, 1, false>(float*)>  // b.any
    1014:\tstr\tq0, [x5]
    1018:\tret
"""


def test_a_store_in_the_loop_is_found_and_one_after_it_is_none() -> None:
    assert faults(GOOD) == (1, [])
    count, wrong = faults(STORED)
    assert count == 1
    assert len(wrong) == 1
    assert "1010: vmovaps %ymm4,-0x20(%rsp)" in wrong[0]
    assert faults(ARM) == (1, [])
    assert len(faults(ARM.replace("cmp\tx3, x4", "str\tq0, [sp, #32]"))[1]) == 1


def test_each_of_two_of_the_same_name_is_looked_at() -> None:
    assert faults(GOOD + GOOD) == (2, [])
    assert len(faults(GOOD + STORED)[1]) == 1
    assert len(faults(GOOD.replace("vfmadd231ps", "{vex} vpdpbusd") + GOOD.replace("vfmadd231ps", "vaddps"))[1]) == 1


def test_a_product_without_a_loop_is_a_fault() -> None:
    assert len(faults(GOOD.replace("vfmadd231ps", "vaddps"))[1]) == 1
    assert faults("") == (0, [])


@pytest.mark.skipif(shutil.which("objdump") is None, reason="there is no objdump")
def test_the_extension() -> None:
    count, wrong = faults(disassemble(Path(_native.__file__), "objdump"))
    if count == 0:
        pytest.skip("the extension has no symbols")
    assert wrong == []
