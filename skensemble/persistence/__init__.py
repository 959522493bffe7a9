"""Models kept as files: parameters as safetensors, structure by skops, and nothing that runs when it is read."""

from skensemble.persistence._container import ModelFileError
from skensemble.persistence._model import load, save

__all__ = ["ModelFileError", "load", "save"]
