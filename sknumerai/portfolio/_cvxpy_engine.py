"""The engine "cvxpylayers": the reference, and the way to bring a program of one's own."""

from typing import Any
from uuid import uuid4

import numpy as np

from sknumerai._optional import import_optional
from sknumerai._typing import Array
from sknumerai.exceptions import SolverError
from sknumerai.portfolio._solution import Solution

LIMITS_MISSED = 1e-4  # relative to the sum of the sizes of all variables
SOLVER = {
    "solve_method": "CLARABEL",
    "tol_gap_abs": 1e-12,
    "tol_gap_rel": 1e-12,
    "tol_feas": 1e-12,
}


class CvxpyProgram:
    """A cvxpy problem with a signal as parameter and weights as an expression.

    Parameters
    ----------
    problem : cvxpy.Problem
        Convex and DPP.
    signal : cvxpy.Parameter of shape (n,)
        Other parameters of the problem keep the values they have.
    weights : cvxpy.Expression of shape (n,)
        Affine in the variables.

    Raises
    ------
    ValueError
        If the problem is not DPP, or signal and weights do not belong to it.
    """

    def __init__(self, problem: Any, signal: Any, weights: Any):
        cp = import_optional("cvxpy", extra="cvxpy")
        if not problem.is_dcp(dpp=True):
            raise ValueError(
                "problem must be a disciplined parametrized program, so that its derivative "
                "exists (problem.is_dcp(dpp=True)); see cvxpy's page on DPP."
            )
        if not any(parameter is signal for parameter in problem.parameters()):
            raise ValueError("signal must be a parameter of problem (one of problem.parameters()).")
        if signal.ndim != 1 or weights.shape != signal.shape or not weights.is_affine():
            raise ValueError(
                f"weights must be an affine expression of the shape of signal, one value per "
                f"stock; found shapes {weights.shape} and {signal.shape}."
            )
        self.signal = signal
        self.weights = cp.Variable(signal.shape)
        self.problem = cp.Problem(
            problem.objective, [*problem.constraints, self.weights == weights]
        )
        self._layer: Any = None
        self._token = uuid4().hex

    def __repr__(self) -> str:
        return f"CvxpyProgram({self.n} stocks)"

    def __deepcopy__(self, memo: Any) -> "CvxpyProgram":
        return self  # scikit-learn's clone copies parameters; nothing changes this one

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_layer": None}

    @property
    def n(self) -> int:
        return int(self.signal.size)

    def layer(self) -> Any:
        """The CvxpyLayer, made once: the signal is its first parameter."""
        if self._layer is None:
            layers = import_optional("cvxpylayers.torch", extra="cvxpy")
            self._layer = layers.CvxpyLayer(
                self.problem,
                parameters=[self.signal, *self._others()],
                variables=self._variables(),
            )
        return self._layer

    def _variables(self) -> list[Any]:
        """The weights first."""
        return [self.weights, *(v for v in self.problem.variables() if v is not self.weights)]

    def check_limits(self, values: list[Array]) -> None:
        """Insist on a solution that meets the limits, which an infeasible program has not.

        Parameters
        ----------
        values : list of ndarray
            Of all variables, as the layer returns them.

        Raises
        ------
        SolverError
            If a limit is missed.
        """
        for variable, value in zip(self._variables(), values, strict=True):
            variable.save_value(value)
        size = sum(float(np.abs(value).sum()) for value in values)
        missed = max(float(np.max(np.abs(limit.violation()))) for limit in self.problem.constraints)
        if not missed <= LIMITS_MISSED * size:
            raise SolverError(
                f"cvxpylayers could not solve the program: what it returns misses a limit by "
                f"{missed:.1e}; the program is infeasible, or too badly scaled for it."
            )

    def content(self) -> tuple[Any, ...]:
        """What tells it from other programs, and from itself with other values."""
        return (self._token, *self.other_values())

    def _others(self) -> list[Any]:
        return [p for p in self.problem.parameters() if p is not self.signal]

    def other_values(self) -> list[Any]:
        """Values of the parameters that are not the signal."""
        missing = [p.name() for p in self._others() if p.value is None]
        if missing:
            raise ValueError(f"Parameter {missing[0]} of the problem has no value; set it.")
        return [np.asarray(p.value, dtype=np.float64) for p in self._others()]


class CvxpyEngine:
    """Solves a `CvxpyProgram` by cvxpylayers.

    Parameters
    ----------
    program : CvxpyProgram
    """

    def __init__(self, program: CvxpyProgram):
        self.program = program

    def solve(self, signal: Array, start: Any = None) -> Solution:
        """The optimal portfolio; `start` is ignored.

        Raises
        ------
        SolverError
            If the library fails, for example as no portfolio meets the limits.
        """
        torch = import_optional("torch", extra="torch")
        if len(signal) != self.program.n:
            raise ValueError(
                f"signal has {len(signal)} stocks and the problem {self.program.n}; build the "
                "problem for these stocks."
            )
        inputs = torch.tensor(signal, dtype=torch.float64, requires_grad=True)
        others = [torch.from_numpy(value) for value in self.program.other_values()]
        layer = self.program.layer()
        try:
            with torch.enable_grad():
                values = layer(inputs, *others, solver_args=SOLVER)
        except Exception as error:  # diffcp raises its own, unnamed ones
            raise SolverError(f"cvxpylayers could not solve the program: {error}") from error

        self.program.check_limits([value.detach().numpy() for value in values])
        weights = values[0]

        def matvec(vectors: Array) -> Array:
            columns = [
                torch.autograd.grad(
                    weights, inputs, torch.from_numpy(np.ascontiguousarray(v)), retain_graph=True
                )[0].numpy()
                for v in vectors.T
            ]
            return np.column_stack(columns)

        return Solution(weights.detach().numpy().copy(), np.nan, 0, None, None, None, matvec)
