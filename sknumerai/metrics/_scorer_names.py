"""Scorers by name: get_era_scorer(), get_era_scorer_names()."""

from collections.abc import Callable
from difflib import get_close_matches
from functools import partial

from sknumerai.metrics._alpha import alpha
from sknumerai.metrics._churn import churn, neutral_churn
from sknumerai.metrics._corr_with import corr_with
from sknumerai.metrics._exposure_dissimilarity import exposure_dissimilarity
from sknumerai.metrics._feature_exposure import max_feature_exposure
from sknumerai.metrics._feature_neutral_corr import feature_neutral_corr, neutral_corr
from sknumerai.metrics._meta_model_contribution import (
    meta_model_contribution,
    neutral_contribution,
)
from sknumerai.metrics._numerai_corr import numerai_corr
from sknumerai.metrics._scorer import EraScorer, make_era_scorer


def _benchmark_contribution(aggregate: str) -> EraScorer:
    scorer = make_era_scorer(meta_model_contribution, aggregate=aggregate)
    return scorer.set_score_request(meta_model="benchmark")  # beside MMC in one search


def _corr_with_meta_model(aggregate: str) -> EraScorer:
    return make_era_scorer(corr_with, aggregate=aggregate).set_score_request(other="meta_model")


_WITH_SHARPE: dict[str, Callable[..., EraScorer]] = {
    "numerai_corr": partial(make_era_scorer, numerai_corr),
    "numerai_corr_tb200": partial(make_era_scorer, numerai_corr, top_bottom=200),
    "fnc": partial(make_era_scorer, feature_neutral_corr),
    "fnc_tb200": partial(make_era_scorer, feature_neutral_corr, top_bottom=200),
    "mmc": partial(make_era_scorer, meta_model_contribution),
    "bmc": _benchmark_contribution,
    "neutral_corr": partial(make_era_scorer, neutral_corr),
    "neutral_contribution": partial(make_era_scorer, neutral_contribution),
    "alpha": partial(make_era_scorer, alpha),
}
_lower = partial(make_era_scorer, greater_is_better=False)

_SCORERS: dict[str, Callable[[], EraScorer]] = {
    **{name: partial(make, aggregate="mean") for name, make in _WITH_SHARPE.items()},
    **{f"{name}_sharpe": partial(make, aggregate="sharpe") for name, make in _WITH_SHARPE.items()},
    "neg_numerai_corr_std": partial(_lower, numerai_corr, aggregate="std"),
    "neg_numerai_corr_max_drawdown": partial(_lower, numerai_corr, aggregate="max_drawdown"),
    "neg_max_exposure": partial(_lower, max_feature_exposure),
    "neg_churn": partial(_lower, churn),
    "neg_neutral_churn": partial(_lower, neutral_churn),
    "cwmm": partial(_corr_with_meta_model, "mean"),
    "exposure_dissimilarity": partial(make_era_scorer, exposure_dissimilarity),
}


def get_era_scorer(name: str) -> EraScorer:
    """Scorer of a name.

    Parameters
    ----------
    name : str
        One of `get_era_scorer_names`. A name with ``"_sharpe"`` is the mean over the standard
        deviation of the eras' scores; one with ``"neg_"`` is the negative of a quantity of which
        less is better.

    Returns
    -------
    scorer : EraScorer
        A new one at each call.

    Raises
    ------
    ValueError
        If there is no scorer of that name.

    Examples
    --------
    >>> from sknumerai.metrics import get_era_scorer
    >>> get_era_scorer("bmc")
    EraScorer(meta_model_contribution, aggregate='mean', meta_model from 'benchmark')
    """
    if name not in _SCORERS:
        close = get_close_matches(str(name), _SCORERS, n=3)
        hint = f"did you mean {', '.join(map(repr, close))}?" if close else ""
        raise ValueError(
            f"There is no era scorer {name!r}; {hint or 'get_era_scorer_names() lists all.'}"
        )
    return _SCORERS[name]()


def get_era_scorer_names() -> list[str]:
    """Names that `get_era_scorer` knows.

    Returns
    -------
    names : list of str

    Examples
    --------
    >>> from sknumerai.metrics import get_era_scorer_names
    >>> get_era_scorer_names()[:4]
    ['alpha', 'alpha_sharpe', 'bmc', 'bmc_sharpe']
    """
    return sorted(_SCORERS)
