"""The function select_weights()."""

from __future__ import annotations

from numbers import Integral
from typing import Literal

import numpy as np
import pandas as pd

from sknumerai._frames import many_columns, one_column
from sknumerai._rows import check_same_labels, check_same_rows
from sknumerai._sklearn import Interval, StrOptions, validate_params
from sknumerai._typing import Array, ArrayLike, ArraysByEra, Eras, ScoreFunction
from sknumerai.ensemble._blend_score import BlendScore, Scorer, read_scorer
from sknumerai.ensemble._gradient import climb, read_smooth_score
from sknumerai.exceptions import MissingErasError

GREEDY_STEPS = 20
GRADIENT_STEPS = 200


@validate_params(
    {
        "scoring": [str, callable],
        "method": [StrOptions({"greedy", "gradient"})],
        "n_steps": [Interval(Integral, 1, None, closed="left"), None],
    },
    prefer_skip_nested_validation=True,
)
def select_weights(
    predictions: ArrayLike,
    y: ArrayLike,
    *,
    eras: Eras,
    scoring: str | Scorer | ScoreFunction = "numerai_corr",
    method: Literal["greedy", "gradient"] = "greedy",
    n_steps: int | None = None,
    **metadata: ArrayLike | ArraysByEra | None,
) -> pd.Series:
    """Weights of a blend of predictions that score well.

    Pass out-of-fold predictions, such as those of `era_cross_val_predict`: predictions of the
    rows that a model was trained on say nothing of what it is worth beside others.

    Parameters
    ----------
    predictions : array-like or DataFrame of shape (n_samples, n_predictions)
        Finite numbers. A prediction that is constant in an era has no score, and gets no weight.
    y : array-like of shape (n_samples,)
        Targets. Up to a fifth of an era's may be NaN; eras without any are left out of the scores,
        with a warning.
    eras : array-like of shape (n_samples,) or scalar
        Era of every row.
    scoring : str or callable, default="numerai_corr"
        Name of an era scorer (see `get_era_scorer_names`), an era scorer, or a score function
        for `make_era_scorer`. It scores the blend as `blend` makes it, without a transformer. A
        blend without a score is never taken, such as the benchmark alone by "bmc". "gradient"
        knows "numerai_corr", "mmc" and "bmc" only.
    method : {"greedy", "gradient"}, default="greedy"
        - "greedy": forward selection with replacement [1]_. Starting from nothing, the
          prediction whose addition scores best is added again and again; of all blends on the
          way the best is taken. Any score will do, and no blend scores less than the best
          prediction alone.
        - "gradient": projected gradient ascent from equal weights, on a score without the last
          ranking (see Notes); a local maximum of that.
    n_steps : int, optional
        Predictions to add (20 by default), so that weights are multiples of 1 over up to that
        number; or most steps of the ascent (200 by default).
    **metadata : array-like, DataFrame, Series or dict
        What the score needs besides, such as ``meta_model``, ``benchmark`` or ``features``.

    Returns
    -------
    weights : Series of shape (n_predictions,)
        At least 0, of sum 1, by the names (else the numbers) of the predictions; for `blend`.

    Raises
    ------
    MissingErasError
        If eras is None.
    ValueError
        If no prediction has a score, the score has no gradient, a table is missing or does not
        fit, or as the score raises.

    See Also
    --------
    EraEnsemble : Selects weights on out-of-fold predictions of its members.

    Notes
    -----
    The score of a blend depends on its ranks, whose derivative by the weights is zero or does not
    exist. "gradient" leaves the last ranking out. Let Z hold the gaussianized predictions of an
    era over their standard deviations, and s = Z w, centred. Its CORR is taken to be the Pearson
    correlation of sign(s) abs(s)^1.5 with the centred target, raised to the same power; its MMC
    the covariance of s over its standard deviation (ddof=0) with what the meta model leaves of
    the target. The mean of these over the eras is what is differentiated, exactly. Since s is
    nearly Gaussian, they are close to the scores.

    References
    ----------
    .. [1] R. Caruana, A. Niculescu-Mizil, G. Crew and A. Ksikes, "Ensemble selection from
       libraries of models", ICML (2004).

    Examples
    --------
    >>> import numpy as np
    >>> from sknumerai.ensemble import select_weights
    >>> rng = np.random.default_rng(0)
    >>> predictions = rng.normal(size=(2000, 3))
    >>> y = 2 * predictions[:, 0] + predictions[:, 1] + 0.1 * rng.normal(size=2000)
    >>> eras = np.repeat([1, 2, 3, 4], 500)
    >>> select_weights(predictions, y, eras=eras, n_steps=6).round(3).tolist()
    [0.667, 0.333, 0.0]
    """
    if eras is None:
        raise MissingErasError("eras is None; pass one era per row (or a scalar for one era).")
    table = many_columns(predictions, "predictions")
    target = one_column(y, "y", allow_nan=True)
    check_same_labels(predictions=predictions, y=y, eras=eras, **metadata)
    check_same_rows(table, target)
    smooth = None if method == "greedy" else read_smooth_score(scoring, metadata)
    score = BlendScore(
        table,
        scorer=read_scorer(scoring),
        y=target.whole()[:, 0],  # faster than a Series, over many scores
        eras=eras,
        metadata=metadata,
    )
    if smooth is None:
        weights = select_greedily(score, n_steps or GREEDY_STEPS)
    else:
        weights = climb(score, smooth, n_steps or GRADIENT_STEPS)
    return pd.Series(weights, pd.Index(table.labels, name="prediction"), name="weight")


def select_greedily(score: BlendScore, n_steps: int = GREEDY_STEPS) -> Array:
    """The best blend on the way of a forward selection with replacement, shape (n_members,)."""
    picks, best, best_score = np.zeros(score.n_members), None, -np.inf
    for _ in range(n_steps):
        candidates = [picks + (np.arange(len(picks)) == j) for j in score.usable]
        scores = np.array([score(candidate) for candidate in candidates])
        if np.isnan(scores).all():
            raise ValueError(
                f"None of the {len(picks)} predictions has a score: they, y or what the score "
                "compares them with are constant in some era; leave out those eras."
            )
        winner = int(np.nanargmax(scores))
        picks = candidates[winner]
        if scores[winner] > best_score:
            best, best_score = picks, scores[winner]
    assert best is not None
    weights: Array = best / best.sum()
    return weights
