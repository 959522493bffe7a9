"""Fitted ensembles as one network, for programs without this package."""

from skensemble.exporting._export import export

__all__ = ["export"]
