"""What the package promises about itself: versions, dependencies, licences, stubs."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mime_fast import _native, _native_dev
from mime_fast._version import __version__
from mime_fast.config.generation import GenerationConfig
from mime_fast.extras import EXTRAS, cure, installed
from tools import release_check
from tools.check_wheel import lacking
from tools.release_check import faults, unreleased, versions

ROOT = Path(__file__).parent.parent


def requirement_name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return match[0].lower().replace("_", "-")


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def pinned() -> dict[str, str]:
    lines = (line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines())
    return {requirement_name(line): line.partition("==")[2] for line in lines if line}


def test_the_build_needs_no_torch(pyproject: dict[str, Any]) -> None:
    assert {requirement_name(item) for item in pyproject["build-system"]["requires"]} == {
        "setuptools",
        "pybind11",
        "ninja",
    }


def test_big_packages_are_extras(pyproject: dict[str, Any]) -> None:
    needed = {requirement_name(item) for item in pyproject["project"]["dependencies"]}
    assert needed == {"numpy", "safetensors", "tokenizers", "tqdm", "pyarrow"}


def test_extras_that_need_torch_include_it(pyproject: dict[str, Any]) -> None:
    extras = pyproject["project"]["optional-dependencies"]
    assert {name for name, items in extras.items() if "mime-fast[torch]" in items} == {
        "triton",
        "train",
        "bench",
        "test",
        "lint",
    }
    assert {extra for _, extra in EXTRAS.values()} <= extras.keys()


def test_a_folder_named_like_a_package_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nowhere_else").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert installed("json") and not installed("nowhere_else")
    monkeypatch.setitem(EXTRAS, "nowhere_else", ("It", "ray"))
    error = ImportError("cannot import name 'data' from 'nowhere_else'", name="nowhere_else")
    assert cure(error) == "It is not installed (pip install 'mime-fast[ray]')"


def test_constraints_pin_all_that_setup_and_tests_install(pyproject: dict[str, Any], pinned: dict[str, str]) -> None:
    project = pyproject["project"]
    extras = project["optional-dependencies"]
    needed = ("torch", "test", "lint", "plots", "ray", "docs", "release")
    installed = [*project["dependencies"], *(item for extra in needed for item in extras[extra])]
    assert {requirement_name(item) for item in installed} - pinned.keys() == {"mime-fast"}  # an extra of its own
    assert [name for name, version in pinned.items() if not re.fullmatch(r"\d+(\.\d+)*(\.post\d+)?", version)] == []
    assert pinned["torch"] == "2.13.0"


def test_the_source_distribution_has_every_file(tmp_path: Path) -> None:
    """Tests and benchmarks are to run from it. What is listed is what `sdist` packs; nothing is built."""
    pytest.importorskip("setuptools", minversion="77")
    pytest.importorskip("pybind11")
    git = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if git.returncode:
        pytest.skip("not a git checkout")
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    (listed,) = tmp_path.glob("*.egg-info/SOURCES.txt")
    packed = {line.removeprefix("./") for line in listed.read_text(encoding="utf-8").splitlines()}
    assert {name for name in git.stdout.split("\0") if (ROOT / name).is_file()} - packed == set()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_what_make_builds_anew_and_removes() -> None:
    """The extension has its stub's hash. build/ has measurements and objects that no target but `clean` may remove."""
    show = ["make", "-n", "--eval", "needed: ; needed $(PACKAGE_DEPS)", "needed", "asan"]
    lines = subprocess.run(show, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    (needed,) = (line.split() for line in lines if line.startswith("needed "))
    assert {"mime_fast/_native.pyi", "mime_fast/_version.py", "setup.py"} <= set(needed)
    removed = [name for line in lines if line.startswith("rm -rf") for name in line.split()[2:]]
    assert removed == ["build/asan/lib"]
    assert any("--build-base build/asan" in line for line in lines)  # objects of its own, too


def test_what_loads_a_sentence_encoder_is_new_enough(pyproject: dict[str, Any]) -> None:
    """`from_pretrained(dtype=)` came with transformers 4.56, `parallel_config` with joblib 1.3."""
    assert {"transformers>=4.56", "joblib>=1.3"} <= set(pyproject["project"]["optional-dependencies"]["train"])


def test_one_version() -> None:
    assert versions(ROOT) == {name: __version__ for name in ("mime_fast/_version.py", "CITATION.cff", "CHANGELOG.md")}
    assert importlib.metadata.version("mime-fast") == __version__


def test_another_version_is_named(tmp_path: Path) -> None:
    (tmp_path / "mime_fast").mkdir()
    (tmp_path / "mime_fast" / "_version.py").write_text('"""The version."""\n\n__version__ = "1.3.0"\n')
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 1.2.0\n")
    (tmp_path / "CHANGELOG.md").write_text("## [Unreleased]\n\n- New.\n\n## [1.3.0] - 2026-01-02\n\n- Old.\n")
    assert faults(versions(tmp_path)) == ["CITATION.cff: 1.2.0; _version.py has 1.3.0"]
    assert unreleased(tmp_path)
    (tmp_path / "CHANGELOG.md").write_text("## [Unreleased]\n\n## [1.4.0] - not yet\n\n## [1.2.0] - 2026-01-01\n")
    assert faults(versions(tmp_path))[1] == "CHANGELOG.md: 1.2.0; _version.py has 1.3.0"
    assert not unreleased(tmp_path)


def test_a_tag_with_unreleased_changes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mime_fast").mkdir()
    (tmp_path / "mime_fast" / "_version.py").write_text('__version__ = "1.3.0"\n')
    (tmp_path / "CITATION.cff").write_text("version: 1.3.0\n")
    (tmp_path / "CHANGELOG.md").write_text("## [Unreleased]\n\n- New.\n\n## [1.3.0] - 2026-01-02\n")
    monkeypatch.setattr(release_check, "ROOT", tmp_path)
    release_check.main([])
    with pytest.raises(SystemExit, match="has entries under"):
        release_check.main(["--tag", "v1.3.0"])


def test_a_wheel_must_have_all_of_a_shipped_model() -> None:
    folder = ROOT / "mime_fast" / "pretrained" / "mime-ed"
    packed = {path.relative_to(ROOT).as_posix() for path in folder.iterdir()}
    reranker = "mime_fast/pretrained/mime-ed/reranker.safetensors"
    assert reranker in packed and lacking(packed) == []
    assert lacking(packed - {reranker}) == [reranker]


def test_the_classifiers_begin_with_the_oldest_python(pyproject: dict[str, Any]) -> None:
    named = [item.rpartition(" ")[2] for item in pyproject["project"]["classifiers"] if "Python :: 3." in item]
    assert named == ["3.11", "3.12", "3.13", "3.14"]
    assert pyproject["project"]["requires-python"] == f">={named[0]}"
    assert pyproject["tool"]["cibuildwheel"]["build"] == [f"cp{version.replace('.', '')}-*" for version in named]


def test_command_is_installed() -> None:
    (command,) = importlib.metadata.entry_points(group="console_scripts", name="mime-fast")
    assert command.value == "mime_fast.__main__:start"
    assert callable(command.load())


def test_every_shipped_model_has_its_licence() -> None:
    folders = [path for path in (ROOT / "mime_fast" / "pretrained").iterdir() if path.is_dir()]
    assert folders
    for folder in folders:
        assert "CC BY-NC 4.0" in (folder / "LICENSE").read_text(), folder
        assert "CC BY-NC 4.0" in (folder / "README.md").read_text(), folder


@pytest.mark.parametrize("extension", [_native, _native_dev], ids=["_native", "_native_dev"])
def test_the_stub_names_what_the_extension_has(extension: ModuleType) -> None:
    stub = extension.__name__.rpartition(".")[2] + ".pyi"
    tree = ast.parse((ROOT / "mime_fast" / stub).read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    targets = [node.target for node in tree.body if isinstance(node, ast.AnnAssign)]
    names = [*(node.name for node in functions), *(node.name for node in classes)]
    named = {name for name in names if not name.startswith("_")}
    named |= {target.id for target in targets if isinstance(target, ast.Name)}
    assert named == {name for name in vars(extension) if not name.startswith("_")}
    for node in functions:
        check_signature(getattr(extension, node.name), node)
    for owner in classes:
        for member in owner.body if owner.name in named else ():
            if isinstance(member, ast.FunctionDef) and not member.decorator_list:
                check_signature(getattr(getattr(extension, owner.name), member.name), member)


def test_the_stub_names_all_search_options() -> None:
    """An extension of another version is known by its stub, which a new option must change, too."""
    stub = (ROOT / "mime_fast" / "_native.pyi").read_text()
    (comment,) = re.findall(r"# Of GenerationConfig: (.*?)\.\n_Options =", stub, re.DOTALL)
    assert re.findall(r"\w+", comment) == list(GenerationConfig().to_search())


def check_signature(built: Any, stub: ast.FunctionDef) -> None:
    """The same arguments in the same order; the first line of what pybind11 documents is the signature."""
    signature = str(built.__doc__).splitlines()[0]
    listed = [argument.arg for argument in (*stub.args.args, *stub.args.kwonlyargs)]
    assert re.findall(r"(\w+): ", signature) == listed
