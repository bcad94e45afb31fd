"""What the transformers refuse."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from sknumerai.neutralization import ExposureClipper, FeatureNeutralizer


@pytest.mark.parametrize(
    "transformer",
    [FeatureNeutralizer(), ExposureClipper()],
    ids=repr,
)
class TestBadInput:
    """One sentence that names the argument, what was found and what to do."""

    def _fails(self, transformer, match, X, features=None, eras=None, error=ValueError):
        with pytest.raises(error, match=match):
            clone(transformer).fit_transform(X, features=features, eras=eras)

    def test_nan_prediction(self, transformer, tournament):
        predictions, features, eras = tournament
        predictions[17, 1] = np.nan
        predictions[[200, 300], 0] = np.inf
        self._fails(
            transformer,
            rf"X contains 1 NaN and 2 infinite \(inf\) of 720 values, first at row 17, "
            rf"era {eras[17]}",
            predictions,
            features,
            eras,
        )

    def test_nan_feature(self, transformer, tournament):
        predictions, features, eras = tournament
        table = pd.DataFrame(features, dtype=float).add_prefix("f")
        table.iloc[17, 3] = np.nan
        match = rf"In era {eras[17]}: features contains 1 NaN .* first at row 17 of column 'f3'"
        self._fails(transformer, match, predictions, table, eras)

    def test_nullable_integer_with_missing_value(self, transformer, tournament):
        predictions, features, _ = tournament
        table = pd.DataFrame(features).add_prefix("f").astype("Int8")
        expected = clone(transformer).fit_transform(predictions, features=features)
        np.testing.assert_allclose(
            clone(transformer).fit_transform(predictions, features=table), expected
        )
        table.iloc[3, 0] = pd.NA
        self._fails(transformer, "features contains 1 NaN", predictions, table)

    def test_lengths(self, transformer, tournament):
        predictions, features, eras = tournament
        self._fails(transformer, "features has 359 rows and X has 360", predictions, features[1:])
        self._fails(
            transformer, "eras has 100 labels for 360 rows", predictions, features, eras[:100]
        )

    def test_missing_label(self, transformer, tournament):
        predictions, features, eras = tournament
        labels = pd.Series(eras).where(np.arange(360) != 5)
        self._fails(
            transformer, "1 of 360 eras are missing, first at row 5", predictions, features, labels
        )

    def test_eras_of_two_dimensions(self, transformer, tournament):
        predictions, features, eras = tournament
        self._fails(transformer, "one-dimensional", predictions, features, eras[:, None])

    def test_array_without_named_features(self, transformer, tournament):
        predictions, _, _ = tournament
        self._fails(transformer, r"give feature_columns as .* or pass features=\.\.\.", predictions)

    def test_frame_without_features(self, transformer, tournament):
        predictions, _, _ = tournament
        frame = pd.DataFrame(predictions, columns=["p", "q"])
        self._fails(transformer, r"selects no column of X .*'p', 'q'", frame)

    def test_frame_without_predictions(self, transformer, tournament):
        _, features, _ = tournament
        frame = pd.DataFrame(features).add_prefix("feature_")
        self._fails(transformer, "none is a prediction", frame)

    def test_text_column(self, transformer, tournament, df_module):
        predictions, features, eras = tournament
        frame = df_module.DataFrame(
            {"p": predictions[:, 0], "era": list(eras), "feature_a": features[:, 0]}
        )
        self._fails(transformer, "such as 'era'; name the predictions with prediction_col", frame)
        frame = df_module.DataFrame(
            {"p": predictions[:, 0], "sector": list(eras), "feature_a": features[:, 0]}
        )
        self._fails(transformer, "Column 'sector' of X is not numeric", frame)

    def test_indexes(self, transformer, tournament):
        predictions, features, _ = tournament
        frame = pd.DataFrame(predictions, columns=["p", "q"])
        table = pd.DataFrame(features).add_prefix("f")
        expected = clone(transformer).fit_transform(frame, features=table)
        disjoint = table.set_index(pd.Index([f"n{i}" for i in range(360)]))
        np.testing.assert_array_equal(
            clone(transformer).fit_transform(frame, features=disjoint), expected
        )
        self._fails(transformer, "share 360 of 360 labels", frame, table.iloc[::-1])
        self._fails(
            transformer, "share 359 of 360 labels", frame, table.set_index(np.arange(1, 361))
        )

    def test_other_features_at_transform(self, transformer, tournament):
        predictions, features, _ = tournament
        table = pd.DataFrame(features).add_prefix("f")
        fitted = clone(transformer).fit(predictions, features=table)
        for other, match in [
            (table.iloc[:, ::-1], "in another order"),
            (table.rename(columns={"f3": "g"}), r"missing: \['f3'\], new: \['g'\]"),
            (table.iloc[:, 1:], r"7 in number \(missing: \['f0'\]"),
        ]:
            with pytest.raises(ValueError, match=match):
                fitted.transform(predictions, features=other)

    def test_unknown_feature_column(self, transformer, tournament):
        predictions, features, _ = tournament
        chosen = clone(transformer).set_params(feature_columns=["f1", "f99"])
        table = pd.DataFrame(features).add_prefix("f")
        self._fails(chosen, "names 'f99', which features with its 8 columns", predictions, table)
        chosen = clone(transformer).set_params(feature_columns=["f1", "f1"])
        self._fails(chosen, "names a column twice", predictions, table)

    def test_bad_parameters(self, transformer, tournament):
        predictions, features, _ = tournament
        for name, value in [("normalize", "ranks"), ("scale", "max"), ("feature_columns", 1.5)]:
            bad = clone(transformer).set_params(**{name: value})
            self._fails(bad, f"The '{name}' parameter", predictions, features)

    def test_empty(self, transformer, tournament):
        predictions, features, eras = tournament
        self._fails(transformer, "0 sample", predictions[:0], features[:0], eras[:0])
