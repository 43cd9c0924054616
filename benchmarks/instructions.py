"""One instruction set for every engine of a run: this project's `isa=`, and what keeps the peers to the same."""

from __future__ import annotations

from mime_fast.errors import ConfigError

HELD_TO_AVX2 = {
    # Read when the libraries are loaded: CTranslate2's own kernels follow the first, matrix products the next two,
    # torch's own kernels the last.
    "CT2_FORCE_CPU_ISA": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
}


def peer_settings(isa: str) -> dict[str, str]:
    """Environment variables for the peers, before they are imported; beside other sets than AVX2 they choose freely."""
    return dict(HELD_TO_AVX2) if family(isa) == "avx2" else {}


def family(isa: str) -> str:
    """The name that reports of an instruction set have: avx2 of avx2_vnni, avx512 of avx512_vnni."""
    return isa.partition("_")[0]


def resolved(isa: str) -> str:
    """The instruction set by its own name: what "auto" is here, or the one that was asked for.

    Raises:
        ConfigError: it is unknown, or cannot run here.
    """
    try:
        from mime_fast import _native
    except ImportError:
        if isa == "auto":
            return "none"
        raise ConfigError(f"isa={isa!r}: there is no native back end here") from None
    if isa == "auto":
        return [name for name in _native.isas if not _native.why_not(name)][-1]  # in rising order
    if isa not in _native.isas:
        raise ConfigError(f"isa={isa!r}: must be {', '.join(map(repr, ('auto', *_native.isas)))}")
    if why := _native.why_not(isa):
        raise ConfigError(f"isa={isa!r}: {why}")
    return isa
