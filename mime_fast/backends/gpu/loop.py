"""The decode loop: a queue of searches through the slots of a session, without waiting for the device.

The host learns how many searches are live, one step late, and nothing else: how far they are stays on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from mime_fast.backends.gpu.packing import Arrival
from mime_fast.backends.gpu.session import Session, ladder
from mime_fast.backends.protocol import Stop
from mime_fast.errors import BackendError

Admit = Callable[[Session, Tensor, int, int], None]  # session, free slots, and which of the queue: from, to


@dataclass(frozen=True)
class Found:
    """Hypotheses of all items, on the device, best first; the last row is nobody's."""

    sizes: Tensor  # int32 [M + 1]
    broken_at: Tensor  # int32 [M + 1], the step at which the model gave NaN, or -1
    emotions: Tensor  # float32 [M + 1, 66], as in `emotion_rows`
    counts: Tensor  # int32 [M + 1, n]
    sums: Tensor  # float32 [M + 1, n]
    scores: Tensor  # float64 [M + 1, n]
    words: Tensor  # int32 [M + 1, n, T]
    log_probs: Tensor  # float32 [M + 1, n, T]

    @classmethod
    def empty(cls, session: Session, items: int) -> Found:
        """Room for what the session's searches return."""
        state = session.state
        pools = (state.pool_counts, state.pool_sums, state.pool_scores, state.pool_words, state.pool_log_probs)
        return cls(
            state.pool_sizes.new_zeros(items + 1),
            state.broken_at.new_full((items + 1,), -1),
            session.emotions.new_zeros(items + 1, session.emotions.shape[1]),
            *(pool.new_zeros(items + 1, session.kept, *pool.shape[2:]) for pool in pools),
        )

    def take(self, session: Session, slots: int) -> None:
        """What lies in the pools of the first slots; a search that goes on is taken again later."""
        state, owner = session.state, session.owner[:slots]
        self.sizes[owner] = state.pool_sizes[:slots].clamp(max=self.counts.shape[1])
        self.broken_at[owner] = state.broken_at[:slots]
        self.emotions[owner] = session.emotions[:slots]
        pools = (state.pool_counts, state.pool_sums, state.pool_scores, state.pool_words, state.pool_log_probs)
        mine = (self.counts, self.sums, self.scores, self.words, self.log_probs)
        for to, pool in zip(mine, pools, strict=True):
            to[owner] = pool[:slots, : to.shape[1]]


class _LiveCount(Arrival):
    """A count of live searches."""

    def send(self, tensor: Tensor) -> None:
        self.admitted = 0  # since it left
        super().send(tensor)

    def read(self) -> int:
        """No fewer than are live now."""
        return int(self.wait()) + self.admitted


def run_queue(session: Session, items: int, admit: Admit, stop: Stop | None) -> Found:
    """Search for all items; `admit` begins the ones that it is given.

    Raises:
        BackendError: `stop` was set.
    """
    found = Found.empty(session, items)
    session.reset()
    session.owner.fill_(items)
    sizes = ladder(session.shape.slots)
    size = min(step for step in sizes if step >= min(items, sizes[0]))
    begun = min(items, size)
    admit(session, session.free(size, begun), 0, begun)
    late, newest = (_LiveCount(session.state.live_count) for _ in range(2))
    late.send(session.state.live_count)
    steps = 0  # since searches were begun last
    while steps < session.options.max_new_tokens or begun < items:
        if stop is not None and stop[0]:
            raise BackendError("stopped")
        session.run(size)
        steps += 1
        newest.send(session.state.live_count)
        live = late.read()  # after the step before this one
        late, newest = newest, late
        if live == 0 and begun == items:
            break
        many = min(size - live, items - begun)
        if many > 0 and (many >= size // 8 or begun + many == items):
            found.take(session, size)
            admit(session, session.free(size, many), begun, begun + many)
            begun += many
            late.admitted = many
            steps = 0
        elif begun == items:
            smaller = min(step for step in sizes if step >= max(live, 1))
            if smaller < size:
                found.take(session, size)
                session.shrink(smaller)
                size = smaller
    found.take(session, size)
    return found
