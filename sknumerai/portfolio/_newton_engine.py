"""The engine "newton": solve, verify, and fall back on a library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from sys import float_info

import numpy as np

from sknumerai._kernels.linalg import one_thread
from sknumerai._typing import Array
from sknumerai.exceptions import InfeasiblePortfolioError, SolverError
from sknumerai.portfolio._certificates import (
    Certificate,
    farkas_candidate,
    farkas_certificate,
    name_conflict,
    proves_infeasible,
)
from sknumerai.portfolio._correction import meet_limits
from sknumerai.portfolio._dual import Dual, DualPoint
from sknumerai.portfolio._hessian import Hessian
from sknumerai.portfolio._jacobian import Jacobian
from sknumerai.portfolio._library import solve_by_library
from sknumerai.portfolio._newton import NewtonResult, semismooth_newton
from sknumerai.portfolio._phase_one import phase_one
from sknumerai.portfolio._program import Multipliers, Program
from sknumerai.portfolio._proximal import proximal_newton
from sknumerai.portfolio._solution import Solution
from sknumerai.portfolio._units import Units, choose_units, in_units, natural_units

SHARPER = 1e-3  # of the tolerance: the residual Newton's method aims at, its last step being cheap
SHARPEST = 1e-13  # the smallest such residual: rounding errors would keep it from a smaller one
PATIENCE = 30  # iterations after which few assets can be free, and easier programs are solved first
SHARES = 1e-9, 1 / 16  # range of what limits leave of the weights, for the first easier program
STIFFER = 64.0  # factor of the risk for a second attempt
WEAKLY_ACTIVE = 1e-9  # relative distance at which a limit counts as reached


class NewtonEngine:
    """Solves the program of one era for any signal; consecutive signals start warm.

    Parameters
    ----------
    program : Program
    tol : float
        Largest KKT residual of a portfolio that is returned.
    max_iter : int
    judged : Program, optional
        What the certificate is about, where that is not the program itself.
    """

    def __init__(
        self,
        program: Program,
        *,
        tol: float = 1e-9,
        max_iter: int = 200,
        judged: Program | None = None,
    ):
        self.program, self.tol, self.max_iter = program, tol, max_iter
        self.judged = program if judged is None else judged
        self.dual = Dual(program)
        self.hessian = Hessian(self.dual)

    def solve(self, signal: Array, start: Array | None = None) -> Solution:
        """The optimal portfolio of a signal.

        Parameters
        ----------
        signal : ndarray of shape (n_stocks,)
        start : ndarray, optional
            ``state`` of the solution for a similar signal.

        Raises
        ------
        InfeasiblePortfolioError
            If no portfolio meets the limits.
        SolverError
            If neither Newton's method nor a library finds a solution that can be verified.
        """
        try:
            with one_thread(), np.errstate(over="raise", divide="raise", invalid="raise"):
                return self._solve_in_units(signal, start)
        except (FloatingPointError, OverflowError) as error:
            raise SolverError(
                f"The sizes of signal, risk data and limits are too far apart for float64 ({error}"
                "); scale them."
            ) from error

    def _solve_in_units(self, signal: Array, start: Array | None) -> Solution:
        units = choose_units(self.program, signal, self.tol)
        if units == Units():
            return self._solve(signal, start)
        try:
            return self._solve_in(units, signal)
        except SolverError:  # the stiffness is what is allowed of the largest weights
            if units.stiffness == 1.0:
                raise
        units = natural_units(self.program, signal, STIFFER * units.stiffness)
        return self._solve_in(units, signal)

    def _solve_in(self, units: Units, signal: Array) -> Solution:
        """In other units, which make no difference, and stiffer, which the certificate allows."""
        engine = NewtonEngine(
            in_units(self.program, units),
            tol=self.tol,
            max_iter=self.max_iter,
            judged=in_units(self.program, replace(units, stiffness=1.0)),
        )
        solution = engine._solve(signal / units.price, None)
        slope = units.stiffness * units.weight / units.price
        return replace(
            solution,
            weights=units.weight * solution.weights,
            matvec=partial(_scaled_product, slope, solution.matvec),
            state=None,
        )

    def _solve(self, signal: Array, start: Array | None) -> Solution:
        point, certificate, n_iter = self._iterate(signal, start)
        if not certificate.residual <= self.tol:
            self._refuse_infeasible(phase_one(self.program))
            result = self._fall_back(signal, certificate, n_iter)
            n_iter += result.n_iter
            point, certificate = self._certify(signal, result)
        if not certificate.residual <= self.tol:
            raise SolverError(
                f"The portfolio has a KKT residual of {certificate.residual:.1e} after "
                f"{n_iter} iterations and a library's solution could not be improved to "
                f"tol={self.tol:.0e}; check the scales of the signal and of the risk data, or "
                "raise tol."
            )
        self.hessian.move_to(point)
        jacobian = Jacobian(self.dual, point, self.hessian)
        return Solution(
            weights=certificate.weights,
            kkt_residual=certificate.residual,
            n_iter=n_iter,
            n_free=int(point.free.sum()),
            n_weakly_active=certificate.count_weakly_active(WEAKLY_ACTIVE),
            n_directions=jacobian.n_directions,
            matvec=jacobian.matvec,
            state=point.theta,
        )

    def _iterate(self, signal: Array, start: Array | None) -> tuple[DualPoint, Certificate, int]:
        """Newton's method, and by way of easier programs where that takes long."""
        result = self._newton(signal, start, min(PATIENCE, self.max_iter))
        n_iter = result.n_iter
        point, certificate = self._certify(signal, result)
        if not certificate.residual <= self.tol:
            result = self._proximal(signal, result.point.weights)
            n_iter += result.n_iter
            point, certificate = self._certify(signal, result)
        return point, certificate, n_iter

    @property
    def _aim(self) -> float:
        return max(SHARPER * self.tol, SHARPEST)

    def _newton(self, signal: Array, start: Array | None, max_iter: int) -> NewtonResult:
        return self._feasible(
            semismooth_newton(
                self.dual,
                self.hessian,
                signal / self.dual.root,
                start,
                tol=self._aim,
                max_iter=max_iter,
                damping=1.0 if start is None else 0.0,
            )
        )

    def _proximal(self, signal: Array, weights: Array) -> NewtonResult:
        """From a program in which limits matter little, judged by the weights that they leave."""
        scaled = signal / self.dual.root
        prices = np.maximum(np.abs(signal), self.program.largest_cost) / self.dual.root
        share = float(np.linalg.norm(weights)) / max(float(np.linalg.norm(prices)), float_info.min)
        return self._feasible(
            proximal_newton(
                self.dual,
                self.hessian,
                scaled,
                proximity=1.0 / np.clip(share, *SHARES),
                tol=self._aim,
                max_iter=self.max_iter,
            )
        )

    def _fall_back(self, signal: Array, failed: Certificate, n_iter: int) -> NewtonResult:
        """A library's solution, polished."""
        try:
            weights, multipliers = solve_by_library(self.program, signal)
        except ImportError as error:
            raise SolverError(
                f"Newton's method ended with a residual of {failed.residual:.1e} after "
                f"{n_iter} iterations, and the solver to fall back on is missing: {error}"
            ) from error
        start = self.dual.point(weights, multipliers)
        return self._newton(signal, start, self.max_iter)

    def _certify(self, signal: Array, result: NewtonResult) -> tuple[DualPoint, Certificate]:
        """How good a portfolio is, corrected if its limits ask for it."""
        point = result.point
        multipliers, weights = self.dual.multipliers(point.theta), self.dual.portfolio(point)
        certificate = Certificate(self.judged, signal, weights, multipliers)
        if certificate.residual <= self.tol:
            return point, certificate
        # prices beside those of the signal, then beside costs in which it is lost
        for size in sorted({float(np.abs(signal).max()), self.program.price_size(signal)}):
            weights, multipliers = meet_limits(self.dual, signal, point, self.tol * size)
            corrected = Certificate(self.judged, signal, weights, multipliers)
            if corrected.residual < certificate.residual:
                point, certificate = self.dual.held_at(point, weights), corrected
            if certificate.residual <= self.tol:
                break
        return point, certificate

    def _feasible(self, result: NewtonResult) -> NewtonResult:
        """The result, unless it proves that no portfolio is feasible: then that is raised."""
        if result.infeasible:
            self._refuse_infeasible(self.dual.multipliers(result.point.theta))
        return result

    def _refuse_infeasible(self, multipliers: Multipliers | None) -> None:
        """Raise an error if multipliers prove that no portfolio is feasible."""
        if multipliers is None:
            return
        multipliers = farkas_candidate(self.program, multipliers)
        if not proves_infeasible(self.program, multipliers):
            return
        proof = farkas_certificate(self.program, multipliers)
        names = name_conflict(self.program, multipliers)
        raise InfeasiblePortfolioError(
            f"No portfolio meets these limits together: {', '.join(names)}; widen or drop one "
            f"(Farkas certificate of relative size {proof:.1e}).",
            names,
        )


def _scaled_product(scale: float, matvec: Callable[[Array], Array], vectors: Array) -> Array:
    return scale * matvec(vectors)
