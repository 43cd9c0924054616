"""Packages that only some work needs, and the extra of mime-fast that installs each."""

from __future__ import annotations

from importlib.util import find_spec

from mime_fast.errors import MissingPackage

EXTRAS = {
    "torch": ("PyTorch", "torch"),
    "triton": ("Triton", "triton"),
    "sklearn": ("scikit-learn", "train"),
    "matplotlib": ("Matplotlib", "plots"),
    "ray": ("Ray", "ray"),
    "fsspec": ("fsspec", "remote"),
    "transformers": ("transformers", "train"),
}


def installed(module: str) -> bool:
    """Whether a package is there; a folder that only has its name, such as one of outputs, is none."""
    spec = find_spec(module)
    return spec is not None and spec.origin is not None


def missing(module: str) -> str:
    """That a package is not installed and how to install it; empty if it is there."""
    if installed(module):
        return ""
    name, extra = EXTRAS[module]
    return f"{name} is not installed (pip install 'mime-fast[{extra}]')"


def cure(error: ImportError) -> str:
    """The same of a failed import; empty where it is of no such package."""
    name = (error.name or "").partition(".")[0]
    return missing(name) if name in EXTRAS else ""


def require(module: str, what: str) -> None:
    """Raises MissingPackage, which names `what` needs it, where a package is not installed."""
    if reason := missing(module):
        raise MissingPackage(f"{what}: {reason}")
