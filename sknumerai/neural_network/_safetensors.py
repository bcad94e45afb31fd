"""Weights of an estimator's network in a file of the safetensors format."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sknumerai._atomic import complete_or_absent
from sknumerai._optional import import_optional

if TYPE_CHECKING:
    from skorch import NeuralNet


class SafetensorsMixin(BaseEstimator):
    """Gives an estimator that holds a skorch net the methods `save_params` and `load_params`.

    The net's module has a buffer ``scale`` of one number per feature. The estimator has the
    parameter ``feature_columns`` and a method ``_make_net(n_features)``.
    """

    net_: NeuralNet
    feature_columns: Any

    def _make_net(self, n_features: int) -> NeuralNet:
        raise NotImplementedError

    def save_params(self, path: str | PathLike[str]) -> None:
        """Write the weights of the network to a file in the safetensors format.

        Unlike a pickle, it can be read without running any code that it may hold.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        ImportError
            If the package safetensors is not installed.
        """
        check_is_fitted(self)
        import_optional("safetensors", extra="torch")
        with complete_or_absent(Path(path)) as temporary:
            self.net_.save_params(f_params=fspath(temporary), use_safetensors=True)

    def load_params(self, path: str | PathLike[str]) -> Self:
        """Take the weights of a file that `save_params` has written, instead of a fit.

        The parameters that shape the network must be those it was saved with. Names of columns
        are not in the file: X must have its columns in the same order. Training can go on from
        these weights, with an optimizer that starts anew.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        self : object

        Raises
        ------
        ImportError
            If the package safetensors is not installed.
        """
        self._validate_params()
        safetensors = import_optional("safetensors", extra="torch")
        with safetensors.safe_open(fspath(path), framework="pt") as file:
            n_features = len(file.get_tensor("scale"))
        for name in ("feature_names_in_", "n_features_in_", "history_"):
            if hasattr(self, name):
                delattr(self, name)
        self.net_ = self._make_net(n_features)
        self.net_.load_params(f_params=fspath(path), use_safetensors=True)
        if self.feature_columns is None:
            self.n_features_in_ = n_features
        return self
