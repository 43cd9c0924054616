"""Imported before PyTorch by the modules that need it: where it is not installed, the error says how to install it."""

from mime_fast.extras import require

require("torch", "this part of mime_fast")
