import numpy as np
import pytest

from sknumerai.neural_network import FNCRegressor, NeuralTrader

torch = pytest.importorskip("torch")
pytest.importorskip("skorch")

from sknumerai.neural_network._device import resolve_device  # noqa: E402

X = np.random.default_rng(0).normal(size=(20, 3))
ESTIMATORS = [FNCRegressor, NeuralTrader]
UNKNOWN = r"^device='abacus' is not a device that torch knows; pass 'cpu', 'cuda' or 'auto'\.$"
NO_GPU = (
    r"^device='cuda(:0)?' needs a GPU that torch can use and none was found; pass 'cpu', or 'auto' "
    r"to use a GPU only where there is one\.$"
)


def test_names_of_devices():
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_unknown_device(estimator):
    with pytest.raises(ValueError, match=UNKNOWN):
        estimator(device="abacus").fit(X, X[:, 0])


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_no_gpu(estimator, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=NO_GPU):
        estimator(device=device).fit(X, X[:, 0])


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_auto_takes_what_there_is(estimator):
    model = estimator(max_epochs=1, device="auto", random_state=0)
    model.fit(X, X[:, 0], **({"eras": "0001"} if estimator is FNCRegressor else {}))
    assert model.net_.device == resolve_device("auto")
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_trader_on_a_gpu():
    on_gpu, again, on_cpu = (
        NeuralTrader(max_epochs=2, device=device, random_state=0).fit(X, X[:, 0]).predict(X)
        for device in ("cuda", "auto", "cpu")
    )
    np.testing.assert_array_equal(on_gpu, again)
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-3)
