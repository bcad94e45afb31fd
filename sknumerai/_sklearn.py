"""What this package uses of scikit-learn's private parts, so that a change there breaks one file.

And how its estimators check tables, for which scikit-learn would convert a frame whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import narwhals as nw
import pandas as pd
from sklearn.base import _fit_context as _sklearn_fit_context
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import (
    Interval,
    Options,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils._param_validation import validate_params as _validate_params
from sklearn.utils.parallel import _get_threadpool_controller
from sklearn.utils.validation import (
    _check_feature_names_in,
    _check_method_params,
    _num_samples,
    check_consistent_length,
    validate_data,
)

from sknumerai._rows import check_column_names

__all__ = [
    "Interval",
    "Options",
    "StrOptions",
    "_check_feature_names_in",
    "_check_method_params",
    "_fit_context",
    "_get_threadpool_controller",
    "_num_samples",
    "_safe_indexing",
    "check_target",
    "is_search",
    "validate_parameter_constraints",
    "validate_params",
    "validate_table",
]

Function = TypeVar("Function", bound=Callable[..., object])


def validate_params(
    constraints: Mapping[str, Sequence[object]], *, prefer_skip_nested_validation: bool
) -> Callable[[Function], Function]:
    """Check arguments by constraints; scikit-learn's, with the decorated function's own type."""
    decorator: Callable[[Function], Function] = _validate_params(
        constraints, prefer_skip_nested_validation=prefer_skip_nested_validation
    )
    return decorator


def _fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[Function], Function]:
    """Check parameters, and checks of nested ones; typed as above."""
    decorator: Callable[[Function], Function] = _sklearn_fit_context(
        prefer_skip_nested_validation=prefer_skip_nested_validation
    )
    return decorator


def is_search(estimator: Any) -> bool:
    """Whether an estimator is a search over parameters."""
    from sklearn.model_selection._search import BaseSearchCV  # slow to import

    return isinstance(estimator, BaseSearchCV)


def validate_table(estimator: Any, X: Any, *, reset: bool, **checks: Any) -> Any:
    """X as an estimator keeps it: a frame as it is, anything else as an array.

    Of a frame, names and number of columns are checked; it is never converted whole.

    Parameters
    ----------
    estimator : estimator
    X : array-like or DataFrame of shape (n_samples, n_columns)
    reset : bool
        Whether to record the columns, or to compare them with those recorded.
    **checks : dict
        Of ``check_array``, for what is no frame.
    """
    check_column_names(X, "X")
    frame = nw.from_native(X, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        return validate_data(estimator, X, reset=reset, dtype="numeric", **checks)
    if 0 in frame.shape:  # in the words of scikit-learn's own checks
        raise ValueError(
            f"Found array with {frame.shape[0]} sample(s) and {frame.shape[1]} feature(s) "
            f"(shape={frame.shape}) while a minimum of 1 of each is required."
        )
    header = pd.DataFrame(columns=frame.columns)
    validate_data(estimator, header, reset=reset, skip_check_array=True)
    return X


def check_target(estimator: Any, X: Any, y: Any) -> None:
    """Insist on a target of as many rows as X, in scikit-learn's words."""
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None."
        )
    check_consistent_length(X, y)
