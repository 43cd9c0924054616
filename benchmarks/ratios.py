"""Where a peer is ahead: every ratio under 1, so that none hides in a table."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from benchmarks.figures import OURS, Figure, Latency, Memory, Rate

Measured = tuple[Hashable, str, str, str, float]  # what is compared, where, engine, precision, the greater the better


def below_one(figures: Sequence[Figure]) -> list[str]:
    """A line for every comparison with a peer in which this project is behind: rates, latency and peak memory."""
    lines: dict[str, list[str]] = {}
    measured = list(_measured(figures))
    for what, where, engine, precision, value in measured:
        if engine != OURS:
            continue
        for peer_what, peer_where, peer, peer_precision, other in measured:
            if peer != OURS and (peer_what, peer_where) == (what, where) and value / other < 1:
                line = f"{what}: {precision} over {peer} {peer_precision}"
                lines.setdefault(line, []).append(f"{value / other:.2f} ({where})")
    return [f"{line}: {', '.join(found)}" for line, found in lines.items()]


def _measured(figures: Iterable[Figure]) -> Iterable[Measured]:
    for figure in figures:
        if isinstance(figure, Rate):
            yield figure.task, f"batch {figure.batch}", figure.engine, figure.precision, figure.per_core_second
        elif isinstance(figure, Latency):
            yield "latency", f"threads {figure.threads}", figure.engine, figure.precision, 1 / figure.p50
        elif isinstance(figure, Memory):
            yield "peak memory", f"batch {figure.batch}", figure.engine, figure.precision, 1 / figure.peak
