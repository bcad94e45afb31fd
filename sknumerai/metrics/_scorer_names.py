"""Scorers by name: get_era_scorer(), get_era_scorer_names()."""

from __future__ import annotations

from difflib import get_close_matches

from sknumerai.metrics._catalogue import METRICS, SMALLER_IS_BETTER
from sknumerai.metrics._scorer import EraScorer, make_era_scorer

_SCORERS = {
    metric.scorer_name(aggregate): (metric, aggregate)
    for metric in METRICS.values()
    for aggregate in metric.aggregates
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
    metric, aggregate = _SCORERS[name]
    scorer = make_era_scorer(
        metric.function,
        aggregate=aggregate,
        greater_is_better=not (metric.smaller_is_better or aggregate in SMALLER_IS_BETTER),
        **metric.options,
    )
    aliases = {argument: table for table, argument in metric.tables.items() if argument != table}
    return scorer.set_score_request(**aliases)


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
