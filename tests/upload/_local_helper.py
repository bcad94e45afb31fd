"""A module that is not installed where an upload runs."""

import numpy as np


def smooth(values):
    return np.tanh(values)
