"""What is behind an error: arrays or fitted estimators in, small result objects out."""

from skensemble.diagnostics._bias_variance import BiasVariance, bias_variance

__all__ = ["BiasVariance", "bias_variance"]
