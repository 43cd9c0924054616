"""The native extensions; everything else stands in pyproject.toml."""

import os
import shutil
import subprocess
from glob import glob
from pathlib import Path

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension, build_ext
from setuptools import setup

# -ffp-contract=off: a sum is rounded the same way wherever it is inlined, so that batches equal their singles.
FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra"]
CUDA = "mime_fast._cuda"
CUDA_BINDING = "csrc/bindings/bind_cuda.cpp"
ARCHITECTURES = ("80", "90")  # cubins; later GPUs get the last one's PTX

ParallelCompile(default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1).install()


def cuda_home() -> Path | None:
    """The CUDA toolkit: CUDA_HOME, or that of nvcc in PATH, or /usr/local/cuda."""
    found = shutil.which("nvcc")  # may be a script that calls the real one
    named = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    places = [named] if named else [*([Path(found).resolve().parents[1]] if found else []), "/usr/local/cuda"]
    parts = "bin/nvcc", "include/cuda_runtime_api.h"
    return next((Path(place) for place in places if all((Path(place) / part).is_file() for part in parts)), None)


HOME = cuda_home()


class Build(build_ext):
    """Leaves out the CUDA extension where it cannot be built, and writes down why."""

    missing = "" if HOME else "no nvcc was found (CUDA_HOME, PATH, /usr/local/cuda) when mime_fast was installed"

    def run(self) -> None:
        super().run()
        note = Path(self.get_ext_fullpath(CUDA)).with_name("_cuda_missing.txt")
        note.unlink(missing_ok=True)
        if self.missing:
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(self.missing + "\n")
            print(f"{CUDA} is left out: {self.missing}")

    def build_extension(self, ext: Pybind11Extension) -> None:
        if ext.name != CUDA:
            super().build_extension(ext)
            return
        try:
            ext.extra_objects = [self.compile_cuda(source) for source in sorted(glob("csrc/cuda/*.cu"))]
            super().build_extension(ext)
        except Exception as error:  # whatever it is, the rest of the package works without
            output = getattr(error, "stderr", "") or str(error)
            self.missing = f"it could not be built when mime_fast was installed: {output.strip()[-500:]}"

    def compile_cuda(self, source: str) -> str:
        assert HOME is not None
        target = Path(self.build_temp) / Path(source).with_suffix(".cu.o")
        target.parent.mkdir(parents=True, exist_ok=True)
        codes = [f"-gencode=arch=compute_{each},code=sm_{each}" for each in ARCHITECTURES]
        codes.append(f"-gencode=arch=compute_{ARCHITECTURES[-1]},code=compute_{ARCHITECTURES[-1]}")
        flags = ["-std=c++17", "-O3", "-Icsrc/include", "-Xcompiler=-fPIC,-fvisibility=hidden", "--threads=0", *codes]
        command = [str(HOME / "bin" / "nvcc"), *flags, "-c", source, "-o", str(target)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        return str(target)


def cuda_extension(home: Path) -> Pybind11Extension:
    libraries = [str(home / "lib64"), str(home / "targets" / "x86_64-linux" / "lib")]
    return Pybind11Extension(
        CUDA,
        [CUDA_BINDING],
        include_dirs=["csrc/include", "csrc", str(home / "include")],
        define_macros=[("MIME_FAST_CUDA_ARCHITECTURES", f'"{" ".join(f"sm_{each}" for each in ARCHITECTURES)}"')],
        depends=sorted(
            [*glob("csrc/include/mime_fast/beam_step*.h"), *glob("csrc/cuda/*.cu"), *glob("csrc/bindings/*.h")]
        ),
        library_dirs=[place for place in libraries if os.path.isdir(place)],
        libraries=["cudart_static", "rt", "pthread", "dl"],
        cxx_std=17,
        extra_compile_args=["-O2", "-Wall", "-Wextra"],
        optional=True,
    )


bindings = [source for source in glob("csrc/bindings/*.cpp") if source != CUDA_BINDING]
native = Pybind11Extension(
    "mime_fast._native",
    sorted(glob("csrc/cpu/*.cpp") + glob("csrc/engine/*.cpp") + bindings),
    include_dirs=["csrc/include", "csrc", "csrc/cpu"],
    depends=sorted(glob("csrc/**/*.h", recursive=True)),
    cxx_std=17,
    extra_compile_args=FLAGS,
)
setup(ext_modules=[native, *([cuda_extension(HOME)] if HOME else [])], cmdclass={"build_ext": Build})
