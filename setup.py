"""The native extension; everything else stands in pyproject.toml."""

from pybind11.setup_helpers import Pybind11Extension, build_ext
from setuptools import setup

SOURCES = ["csrc/bindings/module.cpp", "csrc/cpu/philox.cpp"]
HEADERS = ["csrc/include/mime_fast/philox.h"]

setup(
    ext_modules=[
        Pybind11Extension(
            "mime_fast._native",
            SOURCES,
            include_dirs=["csrc/include"],
            depends=HEADERS,
            cxx_std=17,
            extra_compile_args=["-O2", "-Wall", "-Wextra"],
        )
    ],
    cmdclass={"build_ext": build_ext},
)
