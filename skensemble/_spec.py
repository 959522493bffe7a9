"""Specs: a choice (of a network, of an optimizer) with its settings, as data that scikit-learn can search."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias

from sklearn.base import BaseEstimator

if TYPE_CHECKING:
    from torch import nn


class SettingsSpec(BaseEstimator):
    """A choice and the settings that belong to it, both open to ``set_params``.

    Subclasses name the parameter that holds the choice in `_choice`, keep the
    rest in `settings`, and say in `_setting_names` which settings the choice has.
    """

    _choice: str
    settings: dict[str, Any]

    def _setting_names(self) -> Iterable[str] | None:
        """The names of the settings that the choice accepts, or None where any name goes."""
        return None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the choice and its settings.

        Parameters
        ----------
        deep : bool, default=True
            Accepted for scikit-learn's sake; settings are not descended into.

        Returns
        -------
        params : dict
            The choice under its own name, then each setting.
        """
        return {self._choice: getattr(self, self._choice), **self.settings}

    def set_params(self, **params: Any) -> Self:
        """Set the choice, settings, or both.

        Parameters
        ----------
        **params : dict
            New values. Where the choice itself changes, settings that the new choice lacks are refused.

        Returns
        -------
        self : SettingsSpec

        Raises
        ------
        ValueError
            If the choice has no setting of a given name.
        """
        if self._choice in params:
            setattr(self, self._choice, params.pop(self._choice))
        self.settings = {**self.settings, **params}
        self._check_settings()
        return self

    def _check_settings(self) -> None:
        known = self._setting_names()
        if known is None:
            return
        for name in self.settings:
            if name not in known:
                choice = getattr(self, self._choice)
                raise ValueError(
                    f"{type(self).__name__} {choice!r} has no setting {name!r}. It has: {', '.join(sorted(known))}."
                )


class NetworkSpec(Protocol):
    """What a module is built from once the data is known."""

    def build(self, n_inputs: int, n_outputs: int) -> nn.Module:
        """Build a fresh module."""


NetworkName: TypeAlias = Literal["mlp", "resnet", "convnet", "tabular"]
NetworkLike: TypeAlias = "NetworkName | NetworkSpec | nn.Module | Callable[..., nn.Module]"
"""What stands for a network: a name, a spec, a module, or a callable that returns one."""


def unknown_name(subject: str, name: object, known: Iterable[str]) -> ValueError:
    """Build the error for a name that is not in a list, with the nearest ones that are.

    Parameters
    ----------
    subject : str
        What the name was to name, such as ``"optimizer"``.
    name : str
        What was given.
    known : iterable of str
        What would have been right.

    Returns
    -------
    error : ValueError
        To be raised by the caller.
    """
    known = sorted(known)
    nearest = difflib.get_close_matches(str(name).lower(), known, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, nearest))}?" if nearest else f"Known are: {', '.join(known)}."
    return ValueError(f"Unknown {subject} {name!r}. {hint}")
