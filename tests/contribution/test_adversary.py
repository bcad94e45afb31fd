"""The adversary of the post against all four forms, on simulated eras: who is paid for nothing."""

import numpy as np
import pytest

from sknumerai.contribution import adversarial_prediction, closed_form_tc
from tests.contribution._objectives import FORMS

N_ERAS, N, NOISE, ERROR = 1000, 50, 2.0, 0.3
SETTINGS = ("exact", "noise", "scaled")
USERS = ("adversary", "flipped", "empty")


def deprojected(vectors, directions):
    """Row by row."""
    along = (vectors * directions).sum(axis=1) / (directions**2).sum(axis=1)
    return vectors - along[:, None] * directions


def norms(vectors):
    return np.linalg.norm(vectors, axis=1, keepdims=True)


class Eras:
    """N_ERAS eras of one Hessian: y = ym + 2ε, nobody knows more than ym.

    Written out for all eras at once, without the package.
    """

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.variance = np.exp(0.8 * rng.normal(size=N))
        self.loadings = rng.normal(size=(N, 10))
        self.inverse = np.linalg.inv(np.diag(self.variance) + self.loadings @ self.loadings.T)
        expected = rng.normal(size=(N_ERAS, N))
        self.expected = expected
        self.returns = expected + NOISE * rng.normal(size=expected.shape)
        self.size = np.sqrt((expected**2).sum(axis=1, keepdims=True) + NOISE**2 * N)
        self.meta_models = {
            "exact": expected,
            "noise": expected + ERROR * rng.normal(size=expected.shape),
            "scaled": expected / self.size,
        }
        self.adversary = deprojected(expected @ self.inverse, expected)

    def gradient(self, setting, form):
        m, y, inverse = self.meta_models[setting], self.returns, self.inverse
        if form == "aligned":
            return (y - m) @ inverse
        if form == "scaled":
            return (y - norms(y) * m) @ inverse
        target = y if form == "current" else y - norms(y) / norms(m) * m
        return deprojected(target @ inverse, m) / norms(m)

    def contributions(self, setting, form):
        """Of every user in every era."""
        gradient, model = self.gradient(setting, form), self.meta_models[setting]
        offset = (model * gradient).sum(axis=1)
        gain = (self.adversary * gradient).sum(axis=1)
        earned = np.column_stack([gain - offset, -gain - offset, -offset])
        return np.where(np.abs(earned) > 1e-10, earned, 0.0)  # mᵀΠ is zero but for rounding

    def z_scores(self, setting, form):
        earned = self.contributions(setting, form).T
        return {user: z_score(c) for user, c in zip(USERS, earned, strict=True)}


def z_score(values):
    return np.sqrt(len(values)) * values.mean() / max(values.std(), 1e-10)


@pytest.fixture(scope="module", params=[0, 1])
def eras(request):
    return Eras(request.param)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_simulation_is_that_of_the_package(eras, setting, form):
    """So that what is shown below of the formulas is shown of closed_form_tc."""
    some = 8
    hessian = (eras.variance, eras.loadings)
    adversary = np.array([adversarial_prediction(m, hessian=hessian) for m in eras.expected[:some]])
    np.testing.assert_allclose(adversary, eras.adversary[:some], atol=1e-12)
    users = np.column_stack([adversary.ravel(), -adversary.ravel(), np.zeros(some * N)])
    found = closed_form_tc(
        users,
        eras.meta_models[setting][:some].ravel(),
        eras.returns[:some].ravel(),
        hessian=(np.tile(eras.variance, some), np.tile(eras.loadings, (some, 1))),
        form=form,
        eras=np.repeat(np.arange(some), N),
    )
    np.testing.assert_allclose(found, eras.contributions(setting, form)[:some], atol=1e-10)


@pytest.mark.parametrize("setting", SETTINGS)
def test_current_pays_the_adversary(eras, setting):
    """E[TC] = ‖p‖² / ‖m‖ where m = ym."""
    z = eras.z_scores(setting, "current")
    assert 20.0 < z["adversary"] < 45.0
    assert z["flipped"] == pytest.approx(-z["adversary"])
    if setting == "exact":
        expected = norms(eras.adversary) ** 2 / norms(eras.expected)
        gap = eras.contributions(setting, "current")[:, 0] - expected[:, 0]
        assert abs(z_score(gap)) < 3.5


@pytest.mark.parametrize("setting", SETTINGS)
def test_aligned_normalized_pays_the_flipped_adversary(eras, setting):
    """E[TC(p)] = -(E‖y‖ / ‖ym‖ - 1) ‖p‖² / ‖m‖ where m = ym, so that -p is paid."""
    z = eras.z_scores(setting, "aligned_normalized")
    assert -55.0 < z["adversary"] < -25.0
    assert z["flipped"] == pytest.approx(-z["adversary"])
    if setting == "exact":
        excess = norms(eras.returns) / norms(eras.expected) - 1.0
        expected = -excess * norms(eras.adversary) ** 2 / norms(eras.expected)
        gap = eras.contributions(setting, "aligned_normalized")[:, 0] - expected[:, 0]
        assert abs(z_score(gap)) < 3.5


def test_aligned_pays_nobody_if_the_meta_model_is_known_exactly(eras):
    assert max(map(abs, eras.z_scores("exact", "aligned").values())) < 3.5


def test_aligned_pays_all_who_do_not_share_the_noise_of_the_meta_model(eras):
    """E[TC] = 0.3² tr H⁻¹ for anything that does not depend on the noise; no more for p."""
    z = eras.z_scores("noise", "aligned")
    assert 3.5 < z["adversary"] < 12.0
    assert 3.5 < z["empty"] < 12.0
    contributions = eras.contributions("noise", "aligned")
    expected = ERROR**2 * np.trace(eras.inverse)
    for earned in contributions.T:
        assert abs(z_score(earned - expected)) < 3.5
    assert abs(z_score(contributions[:, 0] - contributions[:, 2])) < 3.5


def test_aligned_pays_the_adversary_if_the_meta_model_is_of_another_size(eras):
    """E[TC] = (1 - 1/√E‖y‖²) ymᵀH⁻¹(p - m)."""
    assert eras.z_scores("scaled", "aligned")["adversary"] > 20.0
    model = eras.meta_models["scaled"]
    spread = (eras.adversary - model) @ eras.inverse
    expected = ((eras.expected - model) * spread).sum(axis=1)
    gap = eras.contributions("scaled", "aligned")[:, 0] - expected
    assert abs(z_score(gap)) < 3.5


def test_scaled_pays_nobody_if_the_meta_model_is_scaled_by_confidence(eras):
    assert max(map(abs, eras.z_scores("scaled", "scaled").values())) < 3.5


@pytest.mark.parametrize("setting", ["exact", "noise"])
def test_scaled_pays_for_holding_less_of_a_meta_model_that_is_too_large(eras, setting):
    """Most of all for holding nothing: what is the adversary's own has a negative mean."""
    z = eras.z_scores(setting, "scaled")
    assert 20.0 < z["flipped"] < z["empty"]
    contributions = eras.contributions(setting, "scaled")
    assert z_score(contributions[:, 0] - contributions[:, 2]) < -30.0
