"""Specs: a choice (of a network, of an optimizer) with its settings, as data that scikit-learn can search."""

import difflib

from sklearn.base import BaseEstimator


class SettingsSpec(BaseEstimator):
    """A choice and the settings that belong to it, both open to ``set_params``.

    Subclasses name the parameter that holds the choice in `_choice`, keep the
    rest in `settings`, and say in `_setting_names` which settings the choice has.
    """

    _choice: str
    settings: dict

    def _setting_names(self):
        """The names of the settings that the choice accepts, or None where any name goes."""
        return None

    def get_params(self, deep=True):
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

    def set_params(self, **params):
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

    def _check_settings(self):
        known = self._setting_names()
        if known is None:
            return
        for name in self.settings:
            if name not in known:
                choice = getattr(self, self._choice)
                raise ValueError(
                    f"{type(self).__name__} {choice!r} has no setting {name!r}. It has: {', '.join(sorted(known))}."
                )


def unknown_name(subject, name, known):
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
