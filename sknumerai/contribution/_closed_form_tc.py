"""The functions closed_form_tc() and adversarial_prediction()."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Required, Unpack, overload

import numpy as np
import pandas as pd

from sknumerai._era_loop import map_eras
from sknumerai._eras import group_tables
from sknumerai._frames import like_input, n_dimensions, numeric_table, one_column, read_predictions
from sknumerai._sklearn import StrOptions, validate_params
from sknumerai._typing import (
    Array,
    ArrayLike,
    ArrayOrList,
    Container,
    Eras,
    FloatArray,
    OneColumn,
    PolarsFrame,
    Same,
)
from sknumerai.contribution._closed_form import FORMS, Form, closed_form_gradient, deproject, size
from sknumerai.contribution._inverse_hessian import (
    EraHessians,
    Hessian,
    HessianOfEra,
    inverse_hessian,
)
from sknumerai.portfolio import PortfolioOptimizer
from sknumerai.portfolio._interface import Risk, RiskData, RiskTables

__all__ = ["adversarial_prediction", "closed_form_tc"]


class _Options(Risk, total=False):
    hessian: Required[Hessian]
    form: Form
    eras: Eras | None


@overload
def closed_form_tc(
    predictions: OneColumn,
    meta_model: ArrayLike,
    returns: ArrayLike,
    **options: Unpack[_Options],
) -> pd.Series: ...
@overload
def closed_form_tc(
    predictions: pd.DataFrame | PolarsFrame | Sequence[Sequence[float]],
    meta_model: ArrayLike,
    returns: ArrayLike,
    **options: Unpack[_Options],
) -> pd.DataFrame: ...
@overload
def closed_form_tc(
    predictions: Array, meta_model: ArrayLike, returns: ArrayLike, **options: Unpack[_Options]
) -> pd.Series | pd.DataFrame: ...
@validate_params({"form": [StrOptions(set(FORMS))]}, prefer_skip_nested_validation=True)
def closed_form_tc(
    predictions: ArrayLike,
    meta_model: ArrayLike,
    returns: ArrayLike,
    *,
    hessian: Hessian,
    form: Form = "current",
    eras: Eras | None = None,
    **risk: Unpack[Risk],
) -> pd.Series | pd.DataFrame:
    r"""True Contribution in closed form.

    With p a prediction, m the meta model, y the returns, O the optimizer, C the cost it weighs
    against the signal, H the Hessian of C at the solution and h = H⁻¹, each form is the
    stake-weighted gradient :math:`(p - m)^T \nabla_m f` of an objective f:

    - "current": :math:`f = y^T O(m / \|m\|)`, and :math:`\nabla_m f = \Pi\, h y / \|m\|`
    - "aligned": :math:`f = y^T O(m) - C(O(m))`, and :math:`\nabla_m f = h (y - m)`
    - "scaled": :math:`f = y^T O(m) - \|y\| C(O(m))`, and :math:`\nabla_m f = h (y - \|y\| m)`
    - "aligned_normalized": :math:`f = y^T O(m / \|m\|) - \|y\| C(O(m / \|m\|))`, and
      :math:`\nabla_m f = \Pi\, h (y - \|y\| m / \|m\|) / \|m\|`

    where :math:`\Pi` takes out the part along m. The normalized forms take H at O(m/‖m‖), the
    others at O(m).

    Parameters
    ----------
    predictions : array-like of shape (n_samples,) or (n_samples, n_users)
        Used as they are, in the units of the meta model.
    meta_model, returns : array-like of shape (n_samples,)
        Indexes, where there are any, must be equal to that of the predictions, or share no label.
    hessian : float, array-like, tuple, LinearOperator, sparse matrix, PortfolioOptimizer or dict
        Positive definite; never inverted.

        - a number, or an array of shape (n_samples,): the diagonal;
        - a tuple (diagonal, loadings) or (diagonal, loadings, covariance): D + BΩBᵀ, with rows
          of D and B for all samples;
        - an array of shape (n_stocks, n_stocks), a sparse matrix or a LinearOperator (solved by
          conjugate gradients), for one era;
        - a `PortfolioOptimizer`: h is its derivative J, at the solution for the meta model, era by
          era with the `risk` data; if it is fitted, where it was fitted;
        - a dict of era to any of these.
    form : {"current", "aligned", "scaled", "aligned_normalized"}, default="current"
        See above. "current" is what `true_contribution` computes without dropout, ranks and
        power.
    eras : array-like of shape (n_samples,), scalar or None, default=None
        None means one era.
    **risk : array-like, DataFrame, Series or dict
        Risk data for an optimizer; see `true_contribution`.

    Returns
    -------
    contributions : Series over eras, or DataFrame of shape (n_eras, n_users)
        The latter for two-dimensional predictions. Eras in their order.

    Raises
    ------
    ValueError
        If the Hessian is singular or indefinite, or inputs do not fit together or hold NaN.
    SolverError
        If the system of a LinearOperator cannot be solved.

    References
    ----------
    "A Closed-Form Expression for TC", forum.numer.ai.

    Examples
    --------
    >>> import numpy as np
    >>> from sknumerai.contribution import closed_form_tc
    >>> meta_model = np.array([0.6, 0.0, -0.8])
    >>> predictions = np.array([[0.6, 1.0], [0.0, 0.0], [-0.8, 0.0]])
    >>> returns = np.array([0.2, 0.1, -0.1])
    >>> closed_form_tc(predictions, meta_model, returns, hessian=2.0).to_numpy().round(12) + 0.0
    array([[0.  , 0.04]])
    """
    table = numeric_table(predictions, "predictions")
    model, target = one_column(meta_model, "meta_model"), one_column(returns, "returns")
    if risk and not isinstance(hessian, PortfolioOptimizer | Mapping):
        raise ValueError(
            f"{', '.join(risk)}: risk data were given beside a Hessian that is no optimizer; "
            "leave them out, or pass hessian=PortfolioOptimizer(...)."
        )
    hessians, tables = EraHessians(hessian, table.n_rows), RiskTables(table.n_rows, **risk)
    data = (table, model, target, *hessians.row_tables, *tables.row_tables)
    groups = group_tables(eras, *data).sorted()
    kernel = partial(closed_form_of_era, form=form)
    values = read_predictions(table, groups)
    scores = pd.DataFrame(
        np.array(map_eras(kernel, groups, values, model, target, hessians, tables)),
        index=pd.Index(groups.labels, name="era"),
        columns=pd.Index(table.labels),
    )
    return scores if n_dimensions(predictions) == 2 else scores.iloc[:, 0]


def closed_form_of_era(
    predictions: Array, meta_model: Array, returns: Array, hessian: Any, risk: RiskData, form: Form
) -> Array:
    """Contributions of predictions in one era, shape (m,).

    Predictions have shape (n, m), meta model and returns (n, 1).
    """
    model, target = meta_model[:, 0].astype(np.float64), returns[:, 0].astype(np.float64)
    gradient = closed_form_gradient(
        model,
        target,
        lambda point: inverse_hessian(hessian, len(point), point, risk),
        form,
    )
    return gradient @ predictions - gradient @ model


@overload
def adversarial_prediction(
    expected_meta_model: ArrayOrList, *, hessian: HessianOfEra
) -> FloatArray: ...
@overload
def adversarial_prediction(expected_meta_model: Same, *, hessian: HessianOfEra) -> Same: ...
def adversarial_prediction(expected_meta_model: ArrayLike, *, hessian: HessianOfEra) -> Container:
    r"""The prediction that gains "current" TC without any information of its own.

    With :math:`\bar m` the expected meta model and h the inverse Hessian:

    .. math:: h \bar m - \frac{\bar m^T h \bar m}{\bar m^T \bar m} \bar m

    It is what the inverse Hessian does to the meta model, off the meta model: costs that the
    optimizer takes and the objective of "current" does not count. Its purpose is to test metrics.

    Parameters
    ----------
    expected_meta_model : array-like of shape (n_stocks,)
        Of one era.
    hessian : float, array-like, tuple, LinearOperator, sparse matrix or PortfolioOptimizer
        See `closed_form_tc`; of an optimizer, the derivative is taken at the solution for the
        normalized meta model.

    Returns
    -------
    prediction : ndarray or Series of shape (n_stocks,)
        In the container of the meta model.

    Raises
    ------
    ValueError
        If the meta model is zero or the Hessian not positive definite.

    References
    ----------
    "A Closed-Form Expression for TC", forum.numer.ai.

    Examples
    --------
    >>> import numpy as np
    >>> from sknumerai.contribution import adversarial_prediction
    >>> adversarial_prediction(np.array([1.0, 1.0]), hessian=np.array([1.0, 2.0]))
    array([ 0.25, -0.25])
    """
    table = one_column(expected_meta_model, "expected_meta_model")
    model = table.whole()[:, 0].astype(np.float64)
    norm = size(model)
    if norm == 0.0:
        raise ValueError("expected_meta_model is zero for all stocks; there is nothing to exploit.")
    part = EraHessians(hessian, len(model)).era(None, slice(0, len(model)))
    solve = inverse_hessian(part, len(model), model / norm)
    return like_input(deproject(solve(model), model)[:, None], expected_meta_model)
