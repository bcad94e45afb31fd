import pytest

from sknumerai.datasets import make_tournament


@pytest.fixture(autouse=True)
def pyplot():
    """Render into memory, and leave no figure open."""
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="needs matplotlib, of the extra plot")
    pyplot.switch_backend("Agg")
    yield pyplot
    pyplot.close("all")


@pytest.fixture(scope="session")
def tournament():
    return make_tournament(n_eras=40, n_stocks=60, n_features=30, random_state=0)


@pytest.fixture(scope="session")
def predictions(tournament):
    return tournament.frame[["example_predictions", "meta_model"]]
