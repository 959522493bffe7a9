"""One self-contained HTML page about a comparison or a search: nothing is loaded, whatever reads it."""

from skensemble.report._write import write_report

__all__ = ["write_report"]
