"""What differs between a check on a GPU and a dry run on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mime_fast.backends.gpu.graphs import Graphs
    from mime_fast.config.model import MimeConfig
    from mime_fast.kernels.select import Ops


@dataclass(frozen=True)
class Setting:
    """Sizes and ways to run."""

    dry: bool
    graphs: bool

    @classmethod
    def of(cls, dry: bool, *, graphs: bool = True) -> Setting:
        return cls(dry, graphs)

    @property
    def device(self) -> str:
        return "cpu" if self.dry else "cuda"

    @property
    def config(self) -> MimeConfig:
        from mime_fast.config.model import MimeConfig

        if self.dry:
            return MimeConfig.paper(120, hidden_size=12, num_heads=2, attention_depth=8, ffn_channels=5)
        return MimeConfig.paper(24_640)

    @property
    def ops(self) -> Ops:
        """The kernels, or their twins in a dry run."""
        from mime_fast.kernels.select import device_ops, plain_ops

        return plain_ops("dry run") if self.dry else device_ops()

    def captures(self, wanted: bool = True) -> Graphs:
        """Of a back end."""
        from mime_fast.backends.gpu.graphs import Graphs

        return Graphs("" if wanted and self.graphs and not self.dry else "dry run" if self.dry else "asked for")
