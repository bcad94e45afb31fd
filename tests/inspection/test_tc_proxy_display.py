from itertools import combinations, pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sknumerai.inspection import TCProxyDisplay

NAMES = ["fnc", "exposure_dissimilarity", "fnc_x_dissimilarity", "mmc", "fnc_tb200"]
NAMES += ["max_exposure", "corr"]


def make_shape(low, high, size, n=300):
    """A step function whose first and last steps rest on a few rows, and are far off."""
    x = np.linspace(low, high, n)
    score = size * np.sin(np.linspace(-1.5, 1.5, n))
    score[0], score[-1] = -50.0, 50.0
    share = np.full(n, 1.0 / (n - 1))
    share[-1] = 0.0
    spread = 0.1 + np.abs(score) / 10
    return pd.DataFrame(
        {"x": x, "score": score, "lower": score - spread, "upper": score + spread, "share": share}
    )


def make_fit(names=NAMES, pairs=()):
    values = dict(zip(names, np.linspace(0.1, 1.0, len(names)), strict=True))
    importances = pd.Series({**values, **dict.fromkeys(pairs, 0.05)}).sort_values(ascending=False)
    # the most important one is not the largest
    shapes = {name: make_shape(-0.1, 0.2, 1.1 - value) for name, value in values.items()}
    return SimpleNamespace(importances=importances, shapes=shapes, r2_test=0.345)


def test_importances_and_shapes_in_order():
    fit = make_fit(pairs=["corr & mmc"])
    display = TCProxyDisplay.from_fit(fit, color="red")
    order = fit.importances.index.tolist()
    assert [text.get_text() for text in display.ax_.get_yticklabels()] == order
    widths = [bar.get_width() for bar in display.bars_]
    np.testing.assert_allclose(widths, fit.importances)
    assert display.ax_.get_ylim()[0] > display.ax_.get_ylim()[1]  # the largest on top
    assert display.ax_.get_title() == "R² on held-out eras: 0.34"
    assert [ax.get_title() for ax in display.axes_] == order[:-1]  # pairs have no shape
    for name, line, band in zip(order, display.lines_, display.bands_, strict=False):
        shape = fit.shapes[name].iloc[1:-1]  # the outermost rows are left out
        x, y = line.get_data()
        assert set(x) <= set(shape["x"])
        assert set(y) <= set(shape["score"])
        assert len(x) >= 0.98 * len(shape)
        assert line.get_drawstyle() == "steps-post"
        assert line.get_color() == "red"
        corners = band.get_paths()[0].vertices.tolist()
        shown = fit.shapes[name].set_index("x").loc[x]
        for side in ("lower", "upper"):  # from every x to the next one
            assert [x[5], shown[side].iloc[5]] in corners
            assert [x[6], shown[side].iloc[5]] in corners
        assert max(corner[1] for corner in corners) == shown["upper"].max()


def test_all_shapes_have_one_scale():
    display = TCProxyDisplay.from_fit(make_fit())
    limits = {ax.get_ylim() for ax in display.axes_}
    assert len(limits) == 1
    low, high = limits.pop()
    assert -2.0 < low < -1.0  # the largest shape, its band, and no outliers
    assert 1.0 < high < 2.0


@pytest.mark.parametrize("n_shapes", [1, 2, 3, 5, 7, 9])
def test_nothing_overlaps_nor_leaves_the_figure(n_shapes):
    names = [*NAMES, "another_score_with_a_name", "yet_another"][:n_shapes]
    display = TCProxyDisplay.from_fit(make_fit(names))
    figure = display.figure_
    figure.canvas.draw()
    boxes = [ax.get_tightbbox() for ax in [display.ax_, *display.axes_]]
    assert len(boxes) == n_shapes + 1
    for one, other in combinations(boxes, 2):
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        upwards = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert min(across, upwards) < 3  # pixels
    assert min(box.x0 for box in boxes) >= -1
    assert max(box.x1 for box in boxes) <= figure.bbox.x1 + 1
    assert max(box.y1 for box in boxes) <= figure.bbox.y1 + 1
    labels = [text.get_window_extent() for text in display.ax_.get_yticklabels()]
    assert all(upper.y0 > lower.y1 for upper, lower in pairwise(labels))
    width, height = figure.get_size_inches()
    assert width < 15
    assert height < 8


def test_axes_of_the_caller(pyplot):
    figure, axes = pyplot.subplots(2, 4)
    display = TCProxyDisplay.from_fit(make_fit(), axes=axes)
    assert display.figure_ is figure
    assert [display.ax_, *display.axes_] == list(axes.ravel())
    with pytest.raises(ValueError, match=r"axes holds 7 axes; pass 8, one for the importances"):
        display.plot(axes=axes.ravel()[:7])


def test_without_a_title():
    fit = make_fit(["fnc", "corr"])
    display = TCProxyDisplay(fit.importances, fit.shapes).plot()
    assert display.ax_.get_title() == ""


def test_a_constant_score():
    fit = make_fit(["fnc", "corr"])
    fit.shapes["corr"] = pd.DataFrame(
        {"x": 0.5, "score": 0.0, "lower": 0.0, "upper": 0.0, "share": [1.0, 0.0]}
    )
    display = TCProxyDisplay.from_fit(fit)
    assert display.lines_[1 if display.axes_[1].get_title() == "corr" else 0].get_xdata().size


def test_a_real_fit():
    pytest.importorskip("interpret.glassbox", reason="needs the extra interpret")
    from sknumerai.contribution import fit_tc_proxies

    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([range(5), range(40)], names=["era", "user"])
    table = pd.DataFrame(rng.normal(size=(200, 2)), index=index, columns=["fnc", "corr"])
    table["tc"] = 2.0 * table["fnc"] + 0.1 * rng.normal(size=200)
    fit = fit_tc_proxies(table, outer_bags=2, max_rounds=200, random_state=0)
    display = TCProxyDisplay.from_fit(fit)
    y = display.lines_[0].get_ydata()
    assert display.axes_[0].get_title() == "fnc"
    assert y[-1] > y[0] + 1.0
    assert display.r2_test == fit.r2_test
