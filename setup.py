"""The native extensions, compiled by ninja: in parallel, and only what has changed. All else is in pyproject.toml.

`mime_fast._native` is the engine. `mime_fast._native_dev` is what only tests and benchmarks call: built in place (an
editable install, `build_ext --inplace`) or with `build_ext --dev`, never into a wheel. `mime_fast._cuda` is built where
there is nvcc; where it is missing, `_cuda_missing.txt` says why.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from glob import glob
from pathlib import Path

import pybind11
import setuptools
from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext

NATIVE, DEV, CUDA = "mime_fast._native", "mime_fast._native_dev", "mime_fast._cuda"
ARCHITECTURES = ("80", "90")  # cubins; later GPUs get the last one's PTX

# -ffp-contract=off: a sum is rounded the same way wherever it is inlined, so that batches equal their singles.
FLAGS = ["-std=c++17", "-fvisibility=hidden", "-g0", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra"]
ENGINE_FLAGS = [*FLAGS, "-O3", "-Icsrc/include", "-Icsrc", "-Icsrc/cpu"]
# What pybind11 makes of a binding takes long to compile and is never hot. Only bindings see Python.
PYTHON_INCLUDES = dict.fromkeys([sysconfig.get_path("include"), sysconfig.get_path("platinclude")])
BINDING_FLAGS = [*FLAGS, "-O1", "-Icsrc/include", "-Icsrc", f"-I{pybind11.get_include()}"]
BINDING_FLAGS += [f"-I{place}" for place in PYTHON_INCLUDES]

# Every part of the CPU kernels is compiled after the header of every instruction set, so that little is compiled anew
# after a change; the objects for other families of processors are empty.
INSTRUCTION_SETS = sorted(glob("csrc/cpu/sets/*.h"))
# What the extension says it was built for; `mime_fast.backends.kinds` compares it with the stub that it finds.
INTERFACE = hashlib.sha256(Path("mime_fast/_native.pyi").read_bytes()).hexdigest()


def sources() -> dict[str, list[str]]:
    """Of each extension; engine first, so that of inline functions the linker takes those compiled with -O3."""
    dev = ["csrc/cpu/beam_step.cpp"]
    cpu = [source for source in glob("csrc/cpu/*.cpp") if source not in dev]
    engine = [*sorted(glob("csrc/cpu/parts/*.cpp")), *sorted(cpu), *sorted(glob("csrc/engine/*.cpp"))]
    shared = sorted(glob("csrc/bindings/*.cpp"))
    found = {
        NATIVE: [*engine, *shared, *sorted(glob("csrc/bindings/native/*.cpp"))],
        DEV: [*engine, *dev, *shared, *sorted(glob("csrc/bindings/dev/*.cpp"))],
    }
    return found | ({CUDA: [*sorted(glob("csrc/cuda/*.cu")), *glob("csrc/bindings/cuda/*.cpp")]} if CUDA_HOME else {})


def cuda_home() -> Path | None:
    """The CUDA toolkit: CUDA_HOME, or that of nvcc in PATH, or /usr/local/cuda."""
    found = shutil.which("nvcc")  # may be a script that calls the real one
    named = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    places = [named] if named else [*([Path(found).resolve().parents[1]] if found else []), "/usr/local/cuda"]
    parts = "bin/nvcc", "include/cuda_runtime_api.h"
    return next((Path(place) for place in places if all((Path(place) / part).is_file() for part in parts)), None)


CUDA_HOME = cuda_home()


class Build(build_ext):
    """Writes a file for ninja and runs it; leaves out the CUDA extension where it cannot be built."""

    user_options = [*build_ext.user_options, ("dev", None, f"build {DEV}, too")]  # noqa: RUF012
    boolean_options = [*build_ext.boolean_options, "dev"]  # noqa: RUF012
    cuda_missing = "" if CUDA_HOME else "no nvcc was found (CUDA_HOME, PATH, /usr/local/cuda) when it was installed"

    def initialize_options(self) -> None:
        super().initialize_options()
        self.dev = False

    def finalize_options(self) -> None:
        super().finalize_options()
        if not (self.dev or (self.inplace and not self.editable_mode)):
            self.extensions = [ext for ext in self.extensions if ext.name != DEV]

    def run(self) -> None:
        super().run()
        note = Path(self.get_ext_fullpath(CUDA)).with_name("_cuda_missing.txt")
        note.unlink(missing_ok=True)
        if self.cuda_missing:
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(self.cuda_missing + "\n")
            print(f"{CUDA} is left out: {self.cuda_missing}")

    def build_extensions(self) -> None:
        # One folder for every way to build: an editable install names a new build_temp each time, but no build_base.
        base = self.get_finalized_command("build").build_base
        folder = Path(base, f"ninja.{self.plat_name}-{sys.implementation.cache_tag}")
        built = {ext.name: str(folder / Path(self.get_ext_fullpath(ext.name)).name) for ext in self.extensions}
        script = folder / "build.ninja"
        folder.mkdir(parents=True, exist_ok=True)
        script.write_text("".join([self.rules(folder), *edges(folder, built)]))
        jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        command = [ninja(), "-f", str(script), f"-j{jobs}", *([] if self.verbose else ["--quiet"])]
        if subprocess.run([*command, *(built[name] for name in built if name != CUDA)], check=False).returncode:
            sys.exit("mime_fast could not be compiled; the compiler's messages are above")
        if CUDA in built:  # whatever keeps it from being built, the rest of the package works without
            done = subprocess.run([*command, built[CUDA]], capture_output=True, text=True, check=False)
            if done.returncode:
                output = (done.stdout + done.stderr).strip()[-500:]
                self.cuda_missing = f"it could not be built when mime_fast was installed: {output}"
                self.extensions = [ext for ext in self.extensions if ext.name != CUDA]
        for ext in self.extensions:
            self.mkpath(str(Path(self.get_ext_fullpath(ext.name)).parent))
            self.copy_file(built[ext.name], self.get_ext_fullpath(ext.name), level=self.verbose)

    def rules(self, folder: Path) -> str:
        """How a file of each kind is made, by the compilers of this Python (or of CXX, CXXFLAGS, LDFLAGS) and nvcc."""
        codes = [f"-gencode=arch=compute_{each},code=sm_{each}" for each in ARCHITECTURES]
        codes.append(f"-gencode=arch=compute_{ARCHITECTURES[-1]},code=compute_{ARCHITECTURES[-1]}")
        nvcc = ["-std=c++17", "-O3", "-Icsrc/include", "-Xcompiler=-fPIC,-fvisibility=hidden", "--threads=0", *codes]
        return f"builddir = {folder}\n" + "".join(
            f"rule {name}\n  command = {command}\n  description = {description}\n{more}"
            for name, command, description, more in (
                ("cpp", f"{words(self.compile_command())} $flags -MMD -MF $out.d -c $in -o $out", "$out", DEPS),
                ("cu", f"{words([f'{CUDA_HOME}/bin/nvcc', *nvcc])} -MD -MF $out.d -c $in -o $out", "$in", DEPS),
                ("link", f"{words(self.link_command())} $in $libraries -o $out", "$out", ""),
            )
        )

    def compile_command(self) -> list[str]:
        """Of a C++ file."""
        old: list[str] = self.compiler.compiler_so
        return getattr(self.compiler, "compiler_so_cxx", [*self.compiler.compiler_cxx, *old[1:]])

    def link_command(self) -> list[str]:
        """Of C++ objects."""
        old: list[str] = self.compiler.linker_so
        return getattr(self.compiler, "linker_so_cxx", [*self.compiler.compiler_cxx, *old[1:]])


DEPS = "  depfile = $out.d\n  deps = gcc\n"


def edges(folder: Path, built: dict[str, str]) -> Iterable[str]:
    """What is made of what."""
    objects: dict[str, list[str]] = {}
    for name, output in built.items():
        for source in sources()[name]:
            if source not in objects:
                objects[source] = []
                for ending, options in variants(source):
                    objects[source].append(str(folder / f"{source}{ending}.o"))
                    rule = Path(source).suffix[1:]
                    yield f"build {objects[source][-1]}: {rule} {source}\n  flags = {words(options)}\n"
        libraries = words(CUDA_LIBRARIES) if name == CUDA else ""
        every = " ".join(each for source in sources()[name] for each in objects[source])
        yield f"build {output}: link {every}\n  libraries = {libraries}\n"


def variants(source: str) -> Iterable[tuple[str, list[str]]]:
    """What a file is compiled to: how the object's name ends, and the options."""
    if "cpu/parts" not in source:
        return [("", flags(source))]
    return [(f".{Path(each).stem}", [*flags(source), "-include", each]) for each in INSTRUCTION_SETS]


def flags(source: str) -> list[str]:
    if "bindings/cuda" in source:
        named = " ".join(f"sm_{each}" for each in ARCHITECTURES)
        return [*BINDING_FLAGS, f"-I{CUDA_HOME}/include", f'-DMIME_FAST_CUDA_ARCHITECTURES="{named}"']
    if source == "csrc/bindings/native/module.cpp":
        return [*BINDING_FLAGS, f'-DMIME_FAST_INTERFACE="{INTERFACE}"']
    return BINDING_FLAGS if "/bindings/" in source else ENGINE_FLAGS


CUDA_LIBRARIES = [f"-L{place}" for place in glob(f"{CUDA_HOME}/lib64") + glob(f"{CUDA_HOME}/targets/*/lib")]
CUDA_LIBRARIES += ["-lcudart_static", "-lrt", "-lpthread", "-ldl"]


def words(items: Iterable[str]) -> str:
    """A command's words for the shell, for ninja."""
    return shlex.join(items).replace("$", "$$")


def ninja() -> str:
    """The program: of the package, a requirement of the build, or in PATH."""
    try:
        from ninja import BIN_DIR

        return str(Path(BIN_DIR, "ninja"))
    except ImportError:
        return shutil.which("ninja") or sys.exit("ninja is needed to compile mime_fast: pip install ninja")


SETUPTOOLS = 77  # the first that can read pyproject.toml's licence


class WithoutMetadata(Distribution):
    """For an older one, which a machine without a network may have: builds the extensions in place, no more."""

    def parse_config_files(self, *_: object, **__: object) -> None:
        if "build_ext" not in sys.argv:
            sys.exit(f"setuptools {setuptools.__version__}: {SETUPTOOLS} or newer is needed to install mime_fast")


setup(
    distclass=WithoutMetadata if int(setuptools.__version__.partition(".")[0]) < SETUPTOOLS else Distribution,
    ext_modules=[Extension(name, files, optional=name == CUDA) for name, files in sources().items()],
    cmdclass={"build_ext": Build},
)
