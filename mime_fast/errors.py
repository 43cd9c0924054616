"""The one error family. A message says what came, what is allowed, and where."""


class MimeFastError(Exception):
    """Base of every error that mime_fast raises on purpose."""


class ConfigError(MimeFastError, ValueError):
    """A model or generation config, or an option of a call, is not allowed."""


class InputError(MimeFastError, ValueError):
    """A dialogue, a response, an emotion or a request id cannot be used."""


class DataError(MimeFastError, ValueError):
    """A data file is missing, unreadable or malformed; the message names file and line."""


class CheckpointError(MimeFastError, ValueError):
    """A model folder or a checkpoint file is missing, broken or does not fit its config."""


class BackendError(MimeFastError, RuntimeError):
    """A device or an implementation was asked for by name and cannot run here."""
