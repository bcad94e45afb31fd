"""Modules of a user's own that `FNCRegressor` trains."""

import numpy as np
import pytest

from tests.neural_network._fnc import WideNet, draw_data, make_regressor

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def data():
    return draw_data()


def test_a_module_must_not_change_its_features(data):
    X, y, eras = data
    module = torch.nn.Sequential(torch.nn.ReLU(inplace=True), torch.nn.Linear(6, 1))
    with pytest.raises(ValueError, match="module changed its features in place"):
        make_regressor(module=module).fit(X, y, eras=eras)


def test_module_of_ones_own(data):
    X, y, eras = data
    model = make_regressor(module=WideNet).fit(X, y, eras=eras)
    assert isinstance(model.net_.module_.module, WideNet)
    other_seed = make_regressor(module=WideNet, random_state=1).fit(X, y, eras=eras)
    assert not np.array_equal(model.predict(X), other_seed.predict(X))

    instance = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    before = {name: value.clone() for name, value in instance.state_dict().items()}
    model = make_regressor(module=instance)
    first, second = (model.fit(X, y, eras=eras).predict(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    for name, value in instance.state_dict().items():
        assert torch.equal(value, before[name])
    start = make_regressor(module=instance, lr=1e-12).fit(X, y, eras=eras).predict(X)
    expected = instance(torch.tensor(X / 4 - 0.5, dtype=torch.float32))[:, 0].detach()
    np.testing.assert_allclose(start, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda k: torch.nn.Linear(k, 2), r"module returned shape \(50, 2\) for .* \(50, 6\)"),
        (lambda k: "net", "module must be a torch.nn.Module, .* found str"),
    ],
)
def test_module_of_the_wrong_kind(data, module, message):
    X, y, eras = data
    with pytest.raises(ValueError, match=message):
        make_regressor(module=module).fit(X, y, eras=eras)


def test_diverged_network(data):
    class Diverged(WideNet):
        def forward(self, x):
            return super().forward(x) * float("nan")

    X, y, eras = data
    with pytest.raises(ValueError, match=r"In era 00\d\d: 50 of 50 values are NaN .* has diverged"):
        make_regressor(module=Diverged).fit(X, y, eras=eras)
