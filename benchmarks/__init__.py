"""Speed beside the peers', in one run: see docs/performance.md."""
