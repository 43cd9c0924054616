"""The native extension; everything else stands in pyproject.toml."""

import os
from glob import glob

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension, build_ext
from setuptools import setup

# -ffp-contract=off: a sum is rounded the same way wherever it is inlined, so that batches equal their singles.
FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra"]

ParallelCompile(default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1).install()

setup(
    ext_modules=[
        Pybind11Extension(
            "mime_fast._native",
            sorted(glob("csrc/cpu/*.cpp") + glob("csrc/decoder/*.cpp") + glob("csrc/bindings/*.cpp")),
            include_dirs=["csrc/include", "csrc", "csrc/cpu"],
            depends=sorted(glob("csrc/**/*.h", recursive=True)),
            cxx_std=17,
            extra_compile_args=FLAGS,
        )
    ],
    cmdclass={"build_ext": build_ext},
)
