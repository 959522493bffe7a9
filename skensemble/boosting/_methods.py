"""The methods by name."""

from __future__ import annotations

from skensemble.boosting._additive import Additive, Gradient, Stagewise
from skensemble.boosting._reweighting import R2, Samme

METHODS: dict[str, type[Additive] | type[Samme] | type[R2]] = {
    "samme": Samme,
    "r2": R2,
    "gradient": Gradient,
    "stagewise": Stagewise,
}
