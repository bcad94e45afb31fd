"""The function fit_tc_proxies()."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import r2_score

from sknumerai._optional import import_optional
from sknumerai._sklearn import Interval, validate_params
from sknumerai._typing import Array, RandomState
from sknumerai.contribution._true_contribution import draw_seed

__all__ = ["TCProxyFit", "fit_tc_proxies"]

SHARE = Interval(Real, 0, 1, closed="neither")


@dataclass(frozen=True, repr=False)
class TCProxyFit:
    """What scores say about True Contribution.

    Attributes
    ----------
    model_ : interpret.glassbox.ExplainableBoostingRegressor
        Fitted on the training eras; its target is the contribution over its root mean square in
        the era.
    importances : Series
        Mean absolute effect of every term on that target over the training rows, the largest
        first. Terms are scores and, with interactions, pairs such as "corr & fnc".
    shapes : dict of str to DataFrame
        The effect of every score, a step function, in the order of the table's columns. Between a
        value of ``x`` and the next one the effect is ``score``; ``lower`` and ``upper`` are one
        standard deviation over the bags away from it, and ``share`` of the training rows lie
        there. The last row repeats the one before, at the largest value of the score.
    r2_train, r2_test : float
        Coefficient of determination of the training eras, and of those held out.
    test_eras : list
        The eras held out.
    """

    model_: Any
    importances: pd.Series
    shapes: dict[str, pd.DataFrame]
    r2_train: float
    r2_test: float
    test_eras: list[Hashable]

    def __repr__(self) -> str:
        return (
            f"TCProxyFit({len(self.shapes)} scores, r2_train={self.r2_train:.3f}, "
            f"r2_test={self.r2_test:.3f}, {len(self.test_eras)} test eras)"
        )


@validate_params(
    {
        "table": [pd.DataFrame],
        "test_size": [SHARE],
        "validation_size": [SHARE],
        "outer_bags": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def fit_tc_proxies(
    table: pd.DataFrame,
    *,
    test_size: float = 0.25,
    validation_size: float = 0.15,
    interactions: int = 0,
    outer_bags: int = 14,
    random_state: RandomState = None,
    n_jobs: int | None = None,
    **params: object,
) -> TCProxyFit:
    """Explain True Contribution by other scores, with an Explainable Boosting Machine.

    The model is a sum of one function for each score, found by boosting [1]_, as in Numerai's own
    comparison [2]_. It needs the extra ``interpret``.

    What it explains is the contribution divided by its root mean square in the era, because the
    unit of contribution changes with the size and the risk of the portfolio; zero stays zero.
    Scores are left as they are, so that shapes can be read in their units.

    Users of an era share its returns. Rows are therefore never split within an era: the last
    eras of the table are held out, and each bag stops early by whole eras of its own.

    Parameters
    ----------
    table : DataFrame
        With an index level "era", a column "tc", and scores in all other columns, as from
        `tc_proxies`. Rows with NaN are left out.
    test_size : float, default=0.25
        Share of the eras to hold out, in (0, 1); the last ones, one at least.
    validation_size : float, default=0.15
        Share of the training eras, drawn anew for each bag, that tells when to stop.
    interactions : int, default=0
        Number of pairs of scores that get a function of their own.
    outer_bags : int, default=14
        Number of models that are averaged, one at least; the shapes' bands are their standard
        deviation.
    random_state : int, RandomState instance or None, default=None
        Pass an int for reproducible output.
    n_jobs : int, default=None
        Number of bags fitted in parallel.
    **params : dict
        Other parameters of ``ExplainableBoostingRegressor``, such as `max_rounds`.

    Returns
    -------
    fit : TCProxyFit

    Raises
    ------
    ImportError
        If interpret is not installed.
    ValueError
        If the table lacks what is needed, holds infinite values, or has fewer than three eras.

    See Also
    --------
    tc_proxies : Makes the table.
    sknumerai.inspection.TCProxyDisplay : Draws importances and shapes.

    Notes
    -----
    Scores that are nearly the same share their importance in no particular way: compare fits
    without one of them.

    References
    ----------
    .. [1] Lou, Y., Caruana, R. and Gehrke, J. (2012), "Intelligible models for classification and
       regression", KDD.
    .. [2] "True Contribution details", https://forum.numer.ai/t/true-contribution-details/5128

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sknumerai.contribution import fit_tc_proxies
    >>> rng = np.random.default_rng(0)
    >>> index = pd.MultiIndex.from_product([range(8), range(50)], names=["era", "user"])
    >>> table = pd.DataFrame(rng.normal(size=(400, 2)), index=index, columns=["fnc", "corr"])
    >>> table["tc"] = table["fnc"] + 0.1 * rng.normal(size=400)
    >>> fit = fit_tc_proxies(table, outer_bags=2, random_state=0)
    >>> fit.importances.index[0]
    'fnc'
    """
    scores, target, eras = read_table(table)
    labels = pd.unique(eras)
    n_test = max(1, round(test_size * len(labels)))
    n_train = len(labels) - n_test
    if n_train < 2:
        raise ValueError(
            f"table has {len(labels)} eras with known values, of which test_size={test_size} holds "
            f"out {n_test}; two or more are needed for training, pass more eras or a smaller "
            "test_size."
        )
    glassbox = import_optional("interpret.glassbox", extra="interpret")
    train = np.isin(eras, labels[:n_train])
    seed = draw_seed(random_state)
    model = glassbox.ExplainableBoostingRegressor(
        feature_names=list(scores.columns),
        interactions=interactions,
        outer_bags=outer_bags,
        random_state=seed,
        n_jobs=n_jobs,
        **params,
    )
    bags = draw_bags(eras[train], validation_size, outer_bags, np.random.default_rng(seed))
    model.fit(scores[train], target[train], bags=bags)
    return TCProxyFit(
        model_=model,
        importances=pd.Series(
            model.term_importances(), index=model.term_names_, name="importance"
        ).sort_values(ascending=False, kind="stable"),
        shapes=shapes_of(model),
        r2_train=float(r2_score(target[train], model.predict(scores[train]))),
        r2_test=float(r2_score(target[~train], model.predict(scores[~train]))),
        test_eras=list(labels[n_train:]),
    )


def read_table(table: pd.DataFrame) -> tuple[pd.DataFrame, Array, Array]:
    """Scores, scaled contributions and eras of the rows without NaN.

    Raises
    ------
    ValueError
        If the table has no eras, contributions or scores, or holds infinite values.
    """
    if "era" not in table.index.names:
        raise ValueError(
            f"The index of table has levels {list(table.index.names)}; one must be named 'era'."
        )
    if "tc" not in table.columns or table.shape[1] < 2:
        raise ValueError(
            f"table has columns {list(table.columns)}; it needs 'tc' and one score or more."
        )
    values = table.to_numpy(dtype=np.float64)
    if np.isinf(values).any():
        raise ValueError(
            f"table holds {int(np.isinf(values).sum())} infinite of {values.size} values; make "
            "them NaN to leave out their rows."
        )
    known = table[~np.isnan(values).any(axis=1)].astype(np.float64)
    eras = known.index.get_level_values("era")
    square = (known["tc"] ** 2).groupby(eras, sort=False).transform("mean")
    if (square == 0.0).any():
        raise ValueError(
            f"tc is zero for all users in era {eras[int(np.argmax(square == 0.0))]}; leave out "
            "eras without contributions."
        )
    target = (known["tc"] / np.sqrt(square)).to_numpy()
    return known.drop(columns="tc").rename(columns=str), target, eras.to_numpy()


def draw_bags(
    eras: Array, validation_size: float, outer_bags: int, rng: np.random.Generator
) -> Array:
    """For every row and bag 1 where it trains, -1 where its era tells when to stop."""
    codes, labels = pd.factorize(eras)
    n_validation = min(max(1, round(validation_size * len(labels))), len(labels) - 1)
    bags = np.ones((len(eras), outer_bags), dtype=np.int8)
    for bag in range(outer_bags):
        held_out = rng.choice(len(labels), n_validation, replace=False)
        bags[np.isin(codes, held_out), bag] = -1
    return bags


def shapes_of(model: Any) -> dict[str, pd.DataFrame]:
    """The effect of every score, as `TCProxyFit` has it."""
    shapes = {}
    for term, features in enumerate(model.term_features_):
        if len(features) > 1:
            continue
        # the first bin is for missing values, the last for unknown ones
        inner = slice(1, -1)
        effect, spread, rows = (
            values[term][inner]
            for values in (model.term_scores_, model.standard_deviations_, model.bin_weights_)
        )
        low, high = model.feature_bounds_[features[0]]
        shape = pd.DataFrame(
            {
                "x": [low, *model.bins_[features[0]][0]],
                "score": effect,
                "lower": effect - spread,
                "upper": effect + spread,
                "share": rows / rows.sum(),
            }
        )
        end = shape.iloc[[-1]].assign(x=high, share=0.0)
        shapes[model.term_names_[term]] = pd.concat([shape, end], ignore_index=True)
    return shapes
