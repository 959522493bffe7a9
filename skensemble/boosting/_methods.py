"""The methods by name."""

from skensemble.boosting._additive import Gradient, Stagewise
from skensemble.boosting._reweighting import R2, Samme

METHODS = {"samme": Samme, "r2": R2, "gradient": Gradient, "stagewise": Stagewise}
