"""Executors that record what they get, and do with it what a test wants."""

import pickle
from concurrent.futures import Future

from sknumerai.streaming._execution import run


class Recorder:
    """Runs tasks when their results are asked for, on pickled copies of them.

    Attributes
    ----------
    futures : list of Future
    payloads : list of bytes
        What would travel to a worker, for each task.
    """

    def __init__(self):
        self.futures, self.payloads = [], []

    def submit(self, function, kernel, task):
        assert function is run
        self.payloads.append(pickle.dumps((function, kernel, task)))
        self.futures.append(Lazy(self, len(self.futures)))
        return self.futures[-1]

    def result(self, number):
        return self.call(number)

    def call(self, number):
        function, *arguments = pickle.loads(self.payloads[number])
        return pickle.loads(pickle.dumps(function(*arguments)))

    def labels(self, number):
        return list(pickle.loads(self.payloads[number])[2].labels)

    @property
    def cancelled(self):
        return [future.cancelled() for future in self.futures]


class Lazy(Future):
    def __init__(self, executor, number):
        super().__init__()
        self.executor, self.number = executor, number

    def result(self, timeout=None):
        return self.executor.result(self.number)


class Backward(Recorder):
    """The last task that is under way is done first."""

    def __init__(self):
        super().__init__()
        self.results, self.done = {}, []

    def result(self, number):
        for other in reversed(range(len(self.futures))):
            if other not in self.results:
                self.results[other] = self.call(other)
                self.done.append(other)
        return self.results[number]


class Failing(Recorder):
    """Some results are errors of the executor instead, by the number of the task."""

    def __init__(self, errors):
        super().__init__()
        self.errors = errors

    def result(self, number):
        if number in self.errors:
            raise self.errors[number]
        return self.call(number)
