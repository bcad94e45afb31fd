"""Small `FNCRegressor`s, what they are trained on, and the loss by hand."""

import pytest
import sklearn

from sknumerai.datasets import make_tournament
from sknumerai.neural_network import FNCRegressor

torch = pytest.importorskip("torch")
pytest.importorskip("skorch")

from skorch.callbacks import Callback  # noqa: E402

from sknumerai.neural_network import soft_rank  # noqa: E402

PARTS = ["corr", "fnc", "tb", "exposure", "tb_exposure"]
WEIGHTS = {
    "corr_weight": 0.5,
    "fnc_weight": 2.0,
    "tb_weight": 1.5,
    "exposure_weight": 0.1,
    "tb_exposure_weight": 0.2,
}


class SeenEras(Callback):
    """Remembers the batches it was shown."""

    def initialize(self):
        self.batches_ = {True: [], False: []}
        return self

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        features, target = batch
        self.batches_[training].append((features.clone(), target))  # its memory is used again

    def labels(self, training):
        return [target.era for _, target in self.batches_[training]]


class WideNet(torch.nn.Module):
    """A module of a user's own, made for a number of features; remembers its input."""

    def __init__(self, n_features):
        super().__init__()
        self.linear = torch.nn.Linear(n_features, 1)

    def forward(self, x):
        self.seen = x
        return self.linear(x)[:, 0]


def draw_data():
    """Features, targets and eras of 12 eras of 50 rows."""
    tournament = make_tournament(12, 50, 6, nonlinear_corr=0.3, random_state=0, as_frame=False)
    return tournament.data, tournament.target, tournament.eras


def make_regressor(**params):
    """Small and quick."""
    defaults = {"hidden_layer_sizes": (8,), "dropout": 0.2, "max_epochs": 2, "top_bottom": 10}
    return FNCRegressor(**{**defaults, "lr": 0.01, "random_state": 0, **params})


def callback_of(regressor, kind):
    return next(c for _, c in regressor.net_.callbacks_ if isinstance(c, kind))


def fit_with_routing(estimator, X, y, eras):
    """Fit with scikit-learn's metadata routing; for other processes, which start without it."""
    with sklearn.config_context(enable_metadata_routing=True):
        return estimator.fit(X, y, eras=eras)


def parts_by_hand(p, y, x, top_bottom, gaussianize=False):
    """The parts of the loss of one era, from the formulas; predictions are a tensor."""

    def ranks(values):
        uniform = (soft_rank(values) - 0.5) / len(values)
        return torch.distributions.Normal(0.0, 1.0).icdf(uniform) if gaussianize else uniform

    def corr(left, right):
        return torch.corrcoef(torch.stack([left, right]))[0, 1]

    def exposure(u, features):
        u = u - u.mean()
        return sum((u @ f / u.norm()) ** 2 for f in features.T)

    design = torch.cat([x, torch.ones(len(x), 1)], dim=1).double()
    neutral = p - (design @ torch.linalg.pinv(design) @ p.double()).float()
    order = torch.argsort(neutral)
    ends = torch.cat([order[:top_bottom], order[-top_bottom:]])
    return {
        "corr": corr(ranks(p), y),
        "fnc": corr(ranks(neutral), y),
        "tb": corr(ranks(neutral)[ends], y[ends]),
        "exposure": exposure(ranks(p), x),
        "tb_exposure": exposure(ranks(neutral)[ends], x[ends]),
    }


def loss_by_hand(parts, weights):
    signs = {"corr": -1, "fnc": -1, "tb": -1, "exposure": 1, "tb_exposure": 1}
    return sum(signs[name] * weights[f"{name}_weight"] * parts[name] for name in PARTS)
