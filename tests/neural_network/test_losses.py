import pickle
from functools import partial

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import rankdata

torch = pytest.importorskip("torch")

from sknumerai import neural_network as nn  # noqa: E402
from sknumerai.metrics import corr_with, feature_exposure, meta_model_contribution  # noqa: E402
from sknumerai.neural_network import _era_factor  # noqa: E402
from sknumerai.neural_network._era_factor import factorize_features  # noqa: E402
from sknumerai.neutralization import neutralize  # noqa: E402
from tests._reference import make_era, neutralized  # noqa: E402

N, K = 120, 6
HARD = 1e-9  # a strength at which soft ranks are ranks

rng = np.random.default_rng(0)
PREDICTION, FEATURES = make_era(rng, N, K)
TARGET = rng.integers(0, 5, N) / 4.0
META_MODEL = PREDICTION + rng.normal(size=N)
TC_GRADIENT = rng.normal(size=N)


def tensor(array, dtype=torch.float64):
    return torch.tensor(array, dtype=dtype)


def neutralizer_of(features):
    return nn.EraNeutralizer().for_era("0001", torch.as_tensor(features))


def losses(n=N, dtype=torch.float64):
    """Every loss of ranks on the first n rows, as a function of predictions and options."""
    target, meta_model = tensor(TARGET[:n], dtype), tensor(META_MODEL[:n], dtype)
    features = tensor(FEATURES[:n] / 4 - 0.5, dtype)
    neutralizer = neutralizer_of(FEATURES[:n])
    return {
        "corr": partial(nn.corr_loss, targets=target),
        "gaussian corr": partial(nn.corr_loss, targets=target, gaussianize=True),
        "top bottom": partial(nn.top_bottom_corr_loss, targets=target, top_bottom=20),
        "fnc": partial(nn.fnc_loss, targets=target, neutralizer=neutralizer),
        "exposure": partial(nn.exposure_penalty, features=features),
        "end exposure": partial(nn.exposure_penalty, features=features, top_bottom=20),
        "mmc": partial(nn.mmc_loss, targets=target, meta_model=meta_model),
        "tc": partial(nn.tc_loss, tc_gradient=tensor(TC_GRADIENT[:n], dtype)),
    }


NAMES = list(losses())


def uniform(values):
    return (rankdata(values) - 0.5) / len(values)


def hard(name):
    """The negative of the hard score that each loss goes to, by numpy."""
    ends = np.argsort(PREDICTION, kind="stable")
    ends = np.r_[ends[:20], ends[-20:]]
    table = FEATURES / 4 - 0.5
    if name == "corr":
        return -np.corrcoef(uniform(PREDICTION), TARGET)[0, 1]
    if name == "gaussian corr":
        return -np.corrcoef(ndtri(uniform(PREDICTION)), TARGET)[0, 1]
    if name == "top bottom":
        return -np.corrcoef(uniform(PREDICTION)[ends], TARGET[ends])[0, 1]
    if name == "fnc":
        return -np.corrcoef(uniform(neutralize(PREDICTION, FEATURES)), TARGET)[0, 1]
    if name == "exposure":
        exposures = feature_exposure(uniform(PREDICTION), features=table).to_numpy()
        return np.sum(exposures**2 * table.var(axis=0) * N)
    if name == "end exposure":
        exposures = feature_exposure(uniform(PREDICTION)[ends], features=table[ends]).to_numpy()
        return np.sum(exposures**2 * table[ends].var(axis=0) * len(ends))
    if name == "mmc":
        return -meta_model_contribution(TARGET, PREDICTION, meta_model=META_MODEL)
    return -ndtri(uniform(PREDICTION)) @ TC_GRADIENT


@pytest.mark.parametrize("name", NAMES)
def test_limit_is_the_hard_score(name):
    loss = losses()[name](tensor(PREDICTION), regularization_strength=HARD)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(hard(name), abs=1e-9)


def test_limit_for_targets_that_are_ranks_is_spearman():
    target = rankdata(TC_GRADIENT)
    loss = nn.corr_loss(tensor(PREDICTION), tensor(target), regularization_strength=HARD)
    expected = corr_with(PREDICTION, target, method="spearman")
    assert -loss.item() == pytest.approx(expected, abs=1e-12)


def test_mmc_of_targets_that_are_no_shares_of_one():
    loss = nn.mmc_loss(
        tensor(PREDICTION), tensor(TC_GRADIENT), tensor(META_MODEL), regularization_strength=HARD
    )
    expected = meta_model_contribution(TC_GRADIENT, PREDICTION, meta_model=META_MODEL)
    assert -loss.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("strength", ["auto", 0.05])
@pytest.mark.parametrize("name", NAMES)
def test_gradients(name, strength):
    loss = partial(losses()[name], regularization_strength=strength)
    assert torch.autograd.gradcheck(loss, tensor(PREDICTION).requires_grad_())


@pytest.mark.parametrize("name", NAMES)
def test_a_step_against_the_gradient_helps(name):
    loss = losses()[name]
    prediction = tensor(PREDICTION).requires_grad_()
    before = loss(prediction)
    before.backward()
    step = 1e-3 * prediction.grad / prediction.grad.norm()
    assert loss(prediction.detach() - step) < before


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("strength", ["auto", 1e-4])
@pytest.mark.parametrize("name", NAMES)
def test_constant_predictions(name, strength, dtype):
    prediction = torch.full((N,), 0.1, dtype=dtype, requires_grad=True)
    loss = losses(dtype=dtype)[name](prediction, regularization_strength=strength)
    assert loss.item() == 0.0
    assert loss.dtype == dtype
    loss.backward()
    assert (prediction.grad == 0.0).all()


@pytest.mark.parametrize("n", [1, 2, 3, 9])
@pytest.mark.parametrize("name", NAMES)
def test_tiny_eras(name, n):
    if name == "mmc" and n == 1:  # no meta model of one stock says anything
        with pytest.raises(ValueError, match="All 1 values of meta_model are equal"):
            losses(n)[name](tensor(PREDICTION[:n]))
        return
    prediction = tensor(PREDICTION[:n]).requires_grad_()
    loss = losses(n)[name](prediction)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(prediction.grad).all()


@pytest.mark.parametrize("name", NAMES)
def test_ties_have_finite_gradients(name):
    prediction = tensor(PREDICTION.round()).requires_grad_()
    loss = losses()[name](prediction)
    loss.backward()
    assert torch.isfinite(prediction.grad).all()
    assert prediction.grad.abs().max() > 0.0


@pytest.mark.parametrize("name", NAMES)
def test_columns_and_single_precision(name):
    expected = losses()[name](tensor(PREDICTION))
    column = losses()[name](tensor(PREDICTION)[:, None])
    torch.testing.assert_close(column, expected, rtol=0, atol=0)
    single = losses(dtype=torch.float32)[name](tensor(PREDICTION, torch.float32)[:, None])
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-5)


def test_constant_targets():
    prediction = tensor(PREDICTION).requires_grad_()
    loss = nn.corr_loss(prediction, torch.full((N,), 0.1))
    loss.backward()
    assert loss.item() == 0.0
    assert (prediction.grad == 0.0).all()


def test_small_eras_are_all_top_and_bottom():
    prediction, target = tensor(PREDICTION[:30]), tensor(TARGET[:30])
    expected = nn.corr_loss(prediction, target)
    for top_bottom in (15, 16, 200):
        loss = nn.top_bottom_corr_loss(prediction, target, top_bottom=top_bottom)
        assert loss == expected
    assert nn.top_bottom_corr_loss(prediction, target, top_bottom=14) != expected


def test_the_ends_do_not_depend_on_the_strength():
    """The post selects by soft ranks, and so selects other numbers of rows."""
    features = torch.eye(N, dtype=torch.float64)  # the penalty is 1 if all used, always
    for strength in (1e-3, 0.1, 10.0):
        prediction = tensor(PREDICTION).requires_grad_()
        # with one feature per row, pᵀf is the row's share of p
        penalty = nn.exposure_penalty(
            prediction, features, top_bottom=10, regularization_strength=strength
        )
        assert penalty.item() == pytest.approx(1.0)
    target = tensor(TARGET).requires_grad_()
    nn.top_bottom_corr_loss(prediction.detach(), target, top_bottom=10).backward()
    order = np.argsort(PREDICTION)
    assert set(np.flatnonzero(target.grad)) == {*order[:10], *order[-10:]}


def test_scale_of_features_counts_squared():
    prediction, features = tensor(PREDICTION), tensor(FEATURES)
    penalty = nn.exposure_penalty(prediction, features / 4 - 0.5)
    torch.testing.assert_close(nn.exposure_penalty(prediction, features), 16 * penalty)
    with pytest.raises(TypeError, match=r"torch.int8; pass .* x / 4 - 0.5"):
        nn.exposure_penalty(prediction, torch.as_tensor(FEATURES))


def test_meta_model_gets_no_gradient():
    meta_model = tensor(META_MODEL).requires_grad_()
    prediction = tensor(PREDICTION).requires_grad_()
    nn.mmc_loss(prediction, tensor(TARGET), meta_model).backward()
    assert meta_model.grad is None


def test_portfolio_return():
    layer = torch.nn.Linear(N, N, dtype=torch.float64)
    returns = tensor(TC_GRADIENT)
    loss = partial(nn.portfolio_return_loss, returns=returns, layer=layer)
    expected = -TC_GRADIENT @ layer(tensor(PREDICTION)).detach().numpy()
    assert loss(tensor(PREDICTION)).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(loss, tensor(PREDICTION)[:, None].requires_grad_())
    loss(tensor(PREDICTION)).backward()
    torch.testing.assert_close(layer.bias.grad, -returns)
    with pytest.raises(ValueError, match="weights returned by layer has 3 rows"):
        nn.portfolio_return_loss(tensor(PREDICTION), returns, lambda signal: signal[:3])


def test_fnc_is_corr_of_the_neutral_part_under_any_options():
    prediction, target = tensor(PREDICTION), tensor(TARGET)
    neutralizer = neutralizer_of(FEATURES)
    options = {"gaussianize": True, "regularization_strength": 0.02, "backend": "scipy"}
    expected = nn.corr_loss(neutralizer(prediction), target, **options)
    assert nn.fnc_loss(prediction, target, neutralizer=neutralizer, **options) == expected


def test_bad_tensors():
    prediction, target = tensor(PREDICTION), tensor(TARGET)
    with pytest.raises(TypeError, match="predictions must be a tensor; found ndarray"):
        nn.corr_loss(PREDICTION, target)
    with pytest.raises(ValueError, match=r"targets has 100 rows and predictions have 120"):
        nn.corr_loss(prediction, target[:100])
    with pytest.raises(ValueError, match=r"shape \(n,\) or \(n, 1\); found \(60, 2\)"):
        nn.corr_loss(prediction.reshape(60, 2), target)
    for value in (torch.nan, torch.inf):
        bad = target.clone()
        bad[[7, 11]] = value
        with pytest.raises(ValueError, match=r"2 of 120 targets .* first at row 7; leave such"):
            nn.corr_loss(prediction, bad)
        with pytest.raises(ValueError, match="2 of 120 predictions are NaN"):
            nn.tc_loss(bad, target)
    with pytest.raises(ValueError, match="features must have shape"):
        nn.exposure_penalty(prediction, tensor(FEATURES[:50]))
    with pytest.raises(ValueError, match="top_bottom"):
        nn.top_bottom_corr_loss(prediction, target, top_bottom=0)
    with pytest.raises(ValueError, match="regularization_strength"):
        nn.corr_loss(prediction, target, regularization_strength=-1.0)
    with pytest.raises(ValueError, match="predictions is empty"):
        nn.corr_loss(prediction[:0], target[:0])


SHAPES = {
    "full rank": (400, 20),
    "fewer rows than features": (30, 50),
    "as many rows as features": (40, 40),
    "one feature": (50, 1),
    "two rows": (2, 3),
    "one row": (1, 2),
}


@pytest.mark.parametrize("degenerate", [False, True])
@pytest.mark.parametrize("scale", ["int8", "float32", "quarters", "shifted"])
@pytest.mark.parametrize("shape", SHAPES)
def test_neutralizer_agrees_with_neutralize(shape, scale, degenerate):
    n, k = SHAPES[shape]
    prediction, features = make_era(np.random.default_rng(3), n, k)
    if degenerate:
        features[:, 0] = 2
        features[:, -1] = 4 - features[:, k // 2]
    given = {
        "int8": features,
        "float32": (features / 4 - 0.5).astype(np.float32),
        "quarters": features / 4,
        "shifted": features + 1e6,
    }[scale]
    expected = np.zeros(1) if n == 1 else neutralize(prediction, given)
    neutral = neutralizer_of(given)(tensor(prediction))
    np.testing.assert_allclose(neutral, expected, rtol=0, atol=1e-8)
    single = neutralizer_of(given)(tensor(prediction, torch.float32))
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, expected, rtol=0, atol=1e-5)


def test_nearly_dependent_features_follow_the_official_rule():
    prediction, features = make_era(np.random.default_rng(4), 200, 10)
    features = features.astype(float)
    kinds = set()
    for noise in (1e-3, 1e-5, 1e-7, 1e-9, 1e-13):
        features[:, 1] = features[:, 0] + noise * np.random.default_rng(5).normal(size=200)
        kinds.add(type(factorize_features(torch.from_numpy(features))))
        ours = neutralizer_of(features)(tensor(prediction))
        np.testing.assert_allclose(ours, neutralize(prediction, features), atol=1e-8)
    assert len(kinds) == 2  # some were factorized, some not


def test_all_features_constant():
    features = np.full((50, 3), 2)
    neutral = neutralizer_of(features)(tensor(PREDICTION[:50]))
    np.testing.assert_allclose(neutral, PREDICTION[:50] - PREDICTION[:50].mean(), atol=1e-14)


@pytest.mark.parametrize("features", [FEATURES, FEATURES[:5]], ids=["factor", "basis"])
def test_neutralizer_is_its_own_derivative(features):
    neutralizer = neutralizer_of(np.where(np.arange(K) == 1, features[:, :1], features))
    prediction = tensor(PREDICTION[: len(features)]).requires_grad_()
    assert torch.autograd.gradcheck(neutralizer, prediction)
    both = torch.stack([prediction, tensor(META_MODEL[: len(features)])], dim=1)
    torch.testing.assert_close(neutralizer(both)[:, 0], neutralizer(prediction))
    assert torch.autograd.gradgradcheck(lambda x: neutralizer(x).pow(3), prediction)


@pytest.mark.parametrize("factor", ["single", "double"])
def test_precision_of_the_factor(factor, monkeypatch):
    """A factor is kept in single precision only where one step with it is accurate."""
    if factor == "double":
        monkeypatch.setattr(_era_factor, "SINGLE_LEFTOVER", 0.0)
    prediction, features = make_era(np.random.default_rng(6), 900, 200, signal=0.02)
    found = factorize_features(torch.from_numpy(features))
    assert found.upper.dtype == {"single": torch.float32, "double": torch.float64}[factor]
    expected = neutralized(prediction, features)
    np.testing.assert_allclose(neutralizer_of(features)(tensor(prediction)), expected, atol=1e-9)
    given = prediction.astype(np.float32)
    single = neutralizer_of(features)(torch.from_numpy(given)).numpy()
    expected = neutralized(given.astype(float), features)
    assert np.linalg.norm(single - expected) < 1e-5 * np.linalg.norm(expected)


def test_a_bad_single_precision_factor_is_refused():
    """One nearly collinear pair is enough for a single step to miss."""
    prediction, features = make_era(np.random.default_rng(7), 900, 60)
    features = features.astype(float)
    features[:, 1] = features[:, 0] + 0.003 * np.random.default_rng(8).normal(size=900)
    assert factorize_features(torch.from_numpy(features)).upper.dtype == torch.float64
    given = prediction.astype(np.float32)
    neutral = neutralizer_of(features)(torch.from_numpy(given)).numpy()
    expected = neutralized(given.astype(float), features)
    assert np.linalg.norm(neutral - expected) < 1e-4 * np.linalg.norm(expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_the_features_explain_is_exactly_zero(dtype):
    explained = tensor(FEATURES @ np.arange(1.0, K + 1), dtype).requires_grad_()
    neutralizer = neutralizer_of(FEATURES)
    assert (neutralizer(explained) == 0.0).all()
    loss = nn.fnc_loss(explained, tensor(TARGET), neutralizer=neutralizer)
    loss.backward()
    assert loss.item() == 0.0
    assert (explained.grad == 0.0).all()


def test_tiny_predictions_keep_their_digits():
    neutralizer = neutralizer_of(FEATURES)
    neutral = neutralizer(tensor(PREDICTION))
    tiny = neutralizer(1e-60 * tensor(PREDICTION))
    torch.testing.assert_close(tiny, 1e-60 * neutral, rtol=1e-10, atol=1e-72)


def test_factors_are_computed_once_and_the_oldest_dropped(monkeypatch):
    made = []

    def count(features):
        made.append(features)
        return factorize_features(features)

    monkeypatch.setattr("sknumerai.neural_network._era_neutralizer.factorize_features", count)
    features = {era: torch.from_numpy(make_era(rng, 60, 20)[1]) for era in "abc"}
    size = factorize_features(features["a"]).nbytes
    assert size == 20 * 20 * 4 + 20 * (8 + 8 + 8)
    neutralizer = nn.EraNeutralizer(max_bytes=2 * size)
    for era in "aabaa":
        neutralizer.for_era(era, features[era])
    assert len(made) == len(neutralizer) == 2
    assert neutralizer.nbytes == 2 * size
    neutralizer.for_era("c", features["c"])  # in place of b
    neutralizer.for_era("a", features["a"])
    assert (len(made), len(neutralizer)) == (3, 2)
    neutralizer.for_era("b", features["b"])
    assert len(made) == 4
    nothing_fits = nn.EraNeutralizer(max_bytes=0)
    prediction = tensor(PREDICTION[:60])
    expected = neutralizer.for_era("a", features["a"])(prediction)
    assert (nothing_fits.for_era("a", features["a"])(prediction) == expected).all()
    assert len(nothing_fits) == 0


def test_neutralizer_survives_pickling():
    neutralizer = nn.EraNeutralizer()
    features = torch.as_tensor(FEATURES)
    expected = neutralizer.for_era("0001", features)(tensor(PREDICTION))
    copy = pickle.loads(pickle.dumps(neutralizer))
    assert len(copy) == 1
    assert (copy.for_era("0001", features)(tensor(PREDICTION)) == expected).all()


def test_bad_features():
    neutralizer = nn.EraNeutralizer()
    bad = tensor(FEATURES)
    bad[3, 2] = torch.nan
    with pytest.raises(ValueError, match=r"1 of 720 features of era 0007 are NaN"):
        neutralizer.for_era("0007", bad)
    with pytest.raises(ValueError, match=r"features must have shape \(n, k\)"):
        neutralizer.for_era("0001", bad[:, 0])
    neutralizer.for_era("0001", torch.as_tensor(FEATURES))
    with pytest.raises(ValueError, match=r"\(119, 6\) and had \(120, 6\)"):
        neutralizer.for_era("0001", torch.as_tensor(FEATURES[1:]))
    with pytest.raises(ValueError, match="with the n = 120 rows"):
        neutralizer_of(FEATURES)(tensor(PREDICTION[:5]))
    with pytest.raises(ValueError, match="max_bytes"):
        nn.EraNeutralizer(max_bytes=-1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("rows", [N, 5], ids=["factor", "basis"])
def test_cuda_tensors(rows):
    prediction, features = tensor(PREDICTION[:rows]), torch.as_tensor(FEATURES[:rows])
    neutralizer = nn.EraNeutralizer()
    expected = neutralizer.for_era("0001", features)(prediction)
    neutral = neutralizer.for_era("0001", features.cuda())(prediction.cuda())
    assert len(neutralizer) == 2
    torch.testing.assert_close(neutral.cpu(), expected)
    given = prediction.cuda().requires_grad_()
    loss = nn.mmc_loss(given, tensor(TARGET[:rows]).cuda(), tensor(META_MODEL[:rows]).cuda())
    loss.backward()
    assert given.grad.is_cuda


def test_other_names_are_no_attributes():
    with pytest.raises(AttributeError, match="no_such_loss"):
        nn.no_such_loss  # noqa: B018
    assert "corr_loss" in dir(nn)
    assert all(hasattr(nn, name) for name in nn.__all__)
