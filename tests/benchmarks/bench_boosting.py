"""What an evaluation by eras costs, beside the boosting round that it follows."""

from functools import partial

import lightgbm

from sknumerai.boosting import era_eval_metric
from sknumerai.datasets import make_tournament
from sknumerai.metrics import feature_neutral_corr, meta_model_contribution, numerai_corr
from tests.benchmarks._measure import Table, alternately, pretty, seconds

N_ERAS, N_STOCKS = 20, 5000
SCORES = {
    "numerai_corr": (numerai_corr, ()),
    "mmc": (meta_model_contribution, ("meta_model",)),
    "fnc": (feature_neutral_corr, ("features",)),
}


def _booster(training, valid, share):
    """A booster of some rounds, each of whose trees sees a share of the features."""
    settings = {"num_threads": 1, "feature_fraction": share, "metric": "None", "verbose": -1}
    booster = lightgbm.Booster(settings, training)
    booster.add_valid(valid, "valid")
    for _ in range(20):
        booster.update()
    return booster


def evaluation():
    """One evaluation against one round, and the metric called as it is."""
    table = Table(
        f"Early stopping: one evaluation of {N_ERAS} eras × {N_STOCKS:,} rows, against a round of "
        "LightGBM on as many",
        ["features", "of which a tree sees", "score", "round", "evaluation", "of a round",
         "the metric itself", "of a round"],
    )  # fmt: skip
    early, late = slice(0, N_ERAS * N_STOCKS), slice(N_ERAS * N_STOCKS, None)
    for n_features in (42, 780):
        data = make_tournament(
            2 * N_ERAS, N_STOCKS, n_features, as_frame=False, missing_features=0.0, random_state=0
        )
        rows, targets, eras = data.data[late], data.target[late], data.eras[late]
        construction = {"num_threads": 1, "verbose": -1}
        training = lightgbm.Dataset(data.data[early], data.target[early], params=construction)
        valid = lightgbm.Dataset(rows, targets, reference=training)
        tables = {"meta_model": data.meta_model[late], "features": rows}
        for share in (1.0, 0.1):
            booster = _booster(training, valid, share)
            predictions = booster.predict(rows, num_threads=1)
            for name, (function, needed) in SCORES.items():
                given = {table: tables[table] for table in needed}
                metric = era_eval_metric(name, eras=eras, **given)
                evaluate = partial(metric, targets, predictions)
                plain = partial(function, targets, predictions, eras=eras, **given)
                ours, one_round = alternately(evaluate, booster.update, repeats=21)
                theirs, expected = seconds(plain, repeats=3)
                assert abs(evaluate()[1] - expected) < 1e-9
                table.add(
                    n_features, f"{share:.0%}", name, pretty(one_round), pretty(ours),
                    f"{ours / one_round:.0%}", pretty(theirs), f"{theirs / one_round:.0%}",
                )  # fmt: skip
    table.notes.append(
        "One thread, 31 leaves. A round adds its tree to the predictions of the evaluation rows. "
        "It grows with the training rows, and an evaluation does not."
    )
    return table


BENCHMARKS = [evaluation]
