"""The command ``skensemble``: the only place that reads files and prints."""

from skensemble.cli import _compare, _models, _optimizers, _search  # noqa: F401  # each adds its command
from skensemble.cli._app import app as app
from skensemble.cli._app import main as main
