"""Calls of a metric as the libraries make them."""

import numpy as np

OF_TRAINING_ROWS = ("catboost", "scikit-learn")  # libraries that evaluate them, too, first


class Predicted:
    """A fitted estimator whose predictions are known."""

    def __init__(self, predictions):
        self.predictions = predictions

    def predict(self, X):
        return self.predictions


class Labelled:
    """What `train` of LightGBM and XGBoost hands to a metric: a data set with labels."""

    def __init__(self, labels):
        self.labels = labels

    def get_label(self):
        return self.labels


def evaluate(metric, library, y_true, y_pred):
    """The value that a library gets; those that it minimizes with their sign."""
    if library == "lightgbm":
        return metric(y_true, y_pred)[1]
    if library == "catboost":
        value, weight = metric.evaluate((y_pred,), np.asarray(y_true, np.float32), None)
        return metric.get_final_error(value, weight)
    if library == "scikit-learn":
        return metric(Predicted(y_pred), None, y_true)
    return metric(y_true, y_pred)


def evaluate_round(metric, library, y_true, y_pred):
    """The same after rows of the training, where a library evaluates them before."""
    if library in OF_TRAINING_ROWS:
        evaluate(metric, library, np.ones(1), np.ones(1))
    return evaluate(metric, library, y_true, y_pred)
