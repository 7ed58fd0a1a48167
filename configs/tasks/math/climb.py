"""From a state to the top of its hill, by a sequence of linear programs; and, at the end, to the last bit.

Near a state the constraints are nearly linear, so the best step within reach is a linear program; the reach shrinks
where the step disappoints (sequential linear programming with a trust region; Nocedal and Wright, Numerical
Optimization, 18.5). The tops of these hills mostly are corners, where as many constraints hold with equality as there
are unknowns, and there the steps converge as Newton's do: five to ten programs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from problems import Array, Problem
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

ACTIVE = 1e-6
LEAST_REACH = 1e-14
NEWTON_STEPS = 6
WIDEN = 1.5


@dataclass
class Work:
    """The budget: how many linear programs may be solved, and how many were."""

    allowed: int
    done: int = 0

    @property
    def left(self) -> bool:
        return self.done < self.allowed


def climb(
    problem: Problem,
    state: Array,
    work: Work,
    *,
    reach: float,
    shrink: float,
    precision: float,
    hopeless: Callable[[float, float], bool] = lambda value, gained: False,
) -> tuple[Array, float]:
    """Raise a state until a step promises less than `precision`, the work is spent, or it is hopeless.

    Args:
        reach: how far each entry of the state may move in the first step.
        shrink: what the reach is multiplied with after a step that brought less than half of what it promised; one
            that brought nearly all of it widens the reach by half.
        hopeless: asked after each step, with the value and what the step gained.
    """
    state, value = problem.settle(state)
    while work.left and reach > LEAST_REACH:
        work.done += 1
        step = best_step(problem, state, reach)
        promised = float(problem.objective @ step)
        moved, reached = problem.settle(state + step)
        gained = reached - value
        if gained > 0:
            state, value = moved, reached
        if promised < precision or hopeless(value, gained):
            break
        if gained < promised / 2:
            reach *= shrink
        elif gained > 0.9 * promised:
            reach *= WIDEN
    return state, value


def best_step(problem: Problem, state: Array, reach: float) -> Array:
    """The step within reach that raises the linearised problem most."""
    values, rows = problem.constraints(state)
    # what no step within reach can break need not be told
    near = values < reach * np.abs(rows).sum(axis=1)
    keep = LinearConstraint(csr_array(rows[near]), -np.maximum(values[near], 0.0), np.inf)
    # milp without integers is a linear program, with half of linprog's own time around the solver
    found = milp(-problem.objective, constraints=keep, bounds=Bounds(-reach, reach), options={"presolve": False})
    return np.zeros_like(state) if found.x is None else found.x


def sharpen(problem: Problem, state: Array) -> tuple[Array, float]:
    """Solve the constraints that hold with equality by Newton's method, to the last bit of a double."""
    best, value = problem.settle(state)
    state = best
    values, rows = problem.constraints(state)
    active = np.abs(values) < ACTIVE
    for _ in range(NEWTON_STEPS):
        step, *_ = np.linalg.lstsq(rows[active], -values[active], rcond=1e-10)
        state = state + step
        settled, reached = problem.settle(state)
        if reached > value:
            best, value = settled, reached
        values, rows = problem.constraints(state)
    return best, value
