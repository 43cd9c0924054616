"""The engine tests' small model."""

from tests.engine.conftest import model_folder as model_folder  # noqa: PLC0414 (a fixture)
