"""Looks for a good solution of one problem: many starts and moves, each followed to the top of its hill.

`python solve.py PROBLEM`, with the seed and the budget in the environment. The constants below are the knobs. The
budget counts linear programs, whatever they are spent on; the last part of it is kept to finish the best solution.
It prints the solution as one line of numbers, and no value: `evaluate.py` computes that.
"""

import json
import os
import sys

import numpy as np
from climb import Work, climb, sharpen
from exact import VALUES, Invalid
from problems import PROBLEMS, Array, Problem

MOVE = "relocate"  # where the next climb begins: restart, jitter, relocate, mixed (of the last two)
START = "random"  # where a restart puts the points: random, spread (each far from those before)
MOVED = 1  # how many points a move relocates, at most
CHOOSE = "random"  # which: random, tightest (those in the way of the others)
PLACE = "hole"  # where to: random, hole (the emptiest of some random places)
JITTER = 0.1  # standard deviation of a jitter, at most
PATIENCE = 20  # moves without a gain before a restart
ACCEPT = 0.0  # a loss, as a share of the value, that a move may bring and still be taken
REACH = 0.1  # how far the first step of a climb may move each coordinate
SHRINK = 0.5  # what the reach is multiplied with after a step that disappointed
PRECISION = 1e-8  # a climb ends when a step promises less, as a share of the value
GIVE_UP = 0.0  # a climb ends if two more such steps leave it worse than the best by this share; 0: never

FINISHING = 0.1  # share of the budget kept for the best solution
FINE, FINISHED = 0.01, 1e-13
MOST_TRIM = 1e-6
HOLES = 30  # random places among which the emptiest is looked for


def search(problem: Problem, rng: np.random.Generator, work: Work, until: int) -> Array:
    """The best state found before `until` linear programs are done."""
    best, highest = problem.settle(problem.start(problem.sample(rng, problem.points)))
    current, height, misses = best, highest, PATIENCE
    told = 0
    while work.done < until:
        fresh = MOVE == "restart" or misses >= PATIENCE
        begin = start(problem, rng) if fresh else move(problem, rng, current)
        found, value = ascend(problem, begin, work, highest)
        if fresh:
            current, height, misses = found, value, 0
        elif value > height * (1 - ACCEPT):
            misses = 0 if value > height * (1 + 1e-9) else misses + 1
            current, height = found, value
        else:
            misses += 1
        if value > highest:
            best, highest = found, value
        if work.done >= told + until // 50:
            told = work.done
            print("progress:", json.dumps({"fraction": work.done / work.allowed, "loss": highest}), flush=True)
    return best


def ascend(problem: Problem, begin: Array, work: Work, highest: float) -> tuple[Array, float]:
    """The top of the hill, or where the climb was given up."""
    precision = PRECISION * max(highest, 1e-6)

    def hopeless(value: float, gained: float) -> bool:
        return GIVE_UP > 0 and value + 2 * gained < highest * (1 - GIVE_UP)

    return climb(problem, begin, work, reach=REACH, shrink=SHRINK, precision=precision, hopeless=hopeless)


def start(problem: Problem, rng: np.random.Generator) -> Array:
    if START == "random":
        return problem.start(problem.sample(rng, problem.points))
    places = problem.sample(rng, 1)
    while len(places) < problem.points:
        places = np.vstack([places, emptiest(problem.sample(rng, HOLES), places)])
    return problem.start(places)


def move(problem: Problem, rng: np.random.Generator, state: Array) -> Array:
    moved = state.copy()
    places = moved[: problem.points * problem.dimension].reshape(problem.points, problem.dimension)
    if MOVE == "jitter" or (MOVE == "mixed" and rng.random() < 0.5):
        places += rng.normal(0, JITTER * rng.random(), places.shape)
        return moved
    for point in chosen(problem, rng, state, int(rng.integers(1, MOVED + 1))):
        somewhere = problem.sample(rng, HOLES if PLACE == "hole" else 1, state)
        places[point] = emptiest(somewhere, np.delete(places, point, axis=0))
    return moved


def chosen(problem: Problem, rng: np.random.Generator, state: Array, many: int) -> Array:
    if CHOOSE == "random":
        return rng.choice(problem.points, many, replace=False)
    values, rows = problem.constraints(state)
    tight = np.abs(rows[np.abs(values) < 1e-6]) > 0
    count = tight[:, : problem.points * problem.dimension].sum(axis=0).reshape(problem.points, -1).sum(axis=1) + 1.0
    return rng.choice(problem.points, many, replace=False, p=count / count.sum())


def emptiest(somewhere: Array, places: Array) -> Array:
    distance = np.linalg.norm(somewhere[:, None] - places, axis=2).min(axis=1)
    return somewhere[distance.argmax()]


def exact_solution(name: str, problem: Problem, state: Array) -> dict[str, object]:
    """The state as numbers that hold exactly: trimmed by a bit, two, four, as far as it takes."""
    trim = 0.0
    while True:
        solution = problem.solution(state, trim)
        try:
            VALUES[name](solution)
        except Invalid:
            if trim > MOST_TRIM:
                raise
            trim = max(2 * trim, 2.0**-53)
        else:
            return solution


def main() -> None:
    name = sys.argv[1]
    problem = PROBLEMS[name]
    rng = np.random.default_rng(int(os.environ["ARNODE_SEED"]))
    work = Work(int(os.environ["ARNODE_BUDGET"]))
    best = search(problem, rng, work, int(work.allowed * (1 - FINISHING)))
    best, _ = climb(problem, best, work, reach=FINE, shrink=0.5, precision=FINISHED)
    best, _ = sharpen(problem, best)
    print(json.dumps(exact_solution(name, problem, best) | {"steps": work.done}))


if __name__ == "__main__":
    main()
