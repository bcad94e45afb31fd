"""The engine "cvxpylayers": the reference, and the way to bring a program of one's own."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any
from uuid import uuid4

import numpy as np

from sknumerai._optional import import_optional
from sknumerai._typing import Array
from sknumerai.exceptions import SolverError
from sknumerai.portfolio._solution import Solution

LIMITS_MISSED = 1e-4  # relative to the sum of the sizes of all variables
NOT_OPTIMAL = 1e-4  # relative to the objective and the sizes of the weights times the signal
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

    def __deepcopy__(self, memo: Any) -> CvxpyProgram:
        return self  # scikit-learn's clone copies parameters; nothing changes this one

    def __getstate__(self) -> dict[str, Any]:
        # without what cvxpy keeps of solvers, which cannot be pickled
        cp = import_optional("cvxpy", extra="cvxpy")
        problem = cp.Problem(self.problem.objective, self.problem.constraints)
        state = {**self.__dict__, "_layer": None, "problem": problem}
        return {**state, "_next_id": _id_counter().count}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # cvxpy tells variables by numbers that it counts: those it makes next must not be these
        counter = _id_counter()
        counter.count = max(counter.count, state.pop("_next_id"))
        self.__dict__.update(state)

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

    def forward(self, signal: Array, others: list[Array]) -> tuple[Any, list[Any]]:
        """The signal as a tensor, and the values of all variables with their graph.

        Raises
        ------
        SolverError
            If the library fails.
        """
        torch = import_optional("torch", extra="torch")
        inputs = torch.tensor(signal, dtype=torch.float64, requires_grad=True)
        layer, others = self.layer(), [torch.from_numpy(value) for value in others]
        try:
            with torch.enable_grad():
                return inputs, list(layer(inputs, *others, solver_args=SOLVER))
        except Exception as error:  # diffcp raises its own, unnamed ones
            reason = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
            raise SolverError(
                f"cvxpylayers could not solve the program ({reason}); check its limits and scales."
            ) from error

    def verify(self, signal: Array, values: list[Array]) -> None:
        """Insist on limits that are met and on an optimum, neither of which cvxpylayers promises.

        It returns numbers for programs that are infeasible or unbounded as well.

        Parameters
        ----------
        signal : ndarray of shape (n,)
        values : list of ndarray
            Of all variables, as the layer returns them.

        Raises
        ------
        SolverError
            If a limit is missed, or the objective is not as good as that of cvxpy's solver.
        """
        before, self.signal.value = self.signal.value, signal
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # how accurate it is shows below
                optimum = self.problem.solve(solver="CLARABEL")
            for variable, value in zip(self._variables(), values, strict=True):
                variable.save_value(value)
            missed = [np.max(np.abs(c.violation())) for c in self.problem.constraints]
            objective = self.problem.objective.value
        except import_optional("cvxpy", extra="cvxpy").error.SolverError as error:
            raise SolverError(
                "cvxpylayers could not solve the program, nor could Clarabel; check that "
                "the limits bound it, and its scales."
            ) from error
        finally:
            self.signal.value = before
        size = sum(float(np.abs(value).sum()) for value in values)
        if self.problem.status not in ("optimal", "optimal_inaccurate"):
            raise SolverError(
                f"cvxpylayers could not solve the program: Clarabel ends {self.problem.status!r}; "
                "check the limits and their scales."
            )
        if not max(missed) <= LIMITS_MISSED * size:
            raise SolverError(
                f"cvxpylayers could not solve the program: what it returns misses a limit by "
                f"{max(missed):.1e}; the program is infeasible, or too badly scaled for it."
            )
        gap = abs(objective - optimum)
        if not gap <= NOT_OPTIMAL * (abs(optimum) + np.abs(signal) @ np.abs(values[0])):
            raise SolverError(
                f"cvxpylayers could not solve the program: its objective is {objective:.6g} where "
                f"{optimum:.6g} is possible; scale the signal and the limits."
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
        if len(signal) != self.program.n:
            raise ValueError(
                f"signal has {len(signal)} stocks and the problem {self.program.n}; build the "
                "problem for these stocks."
            )
        derivative = LayerDerivative(self.program, signal, self.program.other_values())
        values = [value.detach().numpy() for value in derivative.graph()[1]]
        self.program.verify(signal, values)
        return Solution(values[0].copy(), np.nan, 0, None, None, None, derivative)


class LayerDerivative:
    """Products with the Jacobian of a `CvxpyProgram` at a signal, by the graph of its layer.

    Copies and pickles leave the graph behind and solve the program again when it is needed.
    """

    def __init__(self, program: CvxpyProgram, signal: Array, others: list[Array]):
        self.program, self.signal, self.others = program, signal, others
        self._graph: tuple[Any, list[Any]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_graph": None}

    def graph(self) -> tuple[Any, list[Any]]:
        """The signal as a tensor, and the values of all variables."""
        if self._graph is None:
            self._graph = self.program.forward(self.signal, self.others)
        return self._graph

    def __call__(self, vectors: Array) -> Array:
        """JV, shape (n, k), for V of shape (n, k)."""
        torch = import_optional("torch", extra="torch")
        signal, values = self.graph()
        columns = [
            torch.autograd.grad(
                values[0], signal, torch.from_numpy(np.ascontiguousarray(v)), retain_graph=True
            )[0].numpy()
            for v in vectors.T
        ]
        return np.column_stack(columns) if columns else np.zeros(vectors.shape)


def _id_counter() -> Any:
    import_optional("cvxpy", extra="cvxpy")
    return import_module("cvxpy.lin_ops.lin_utils").ID_COUNTER
