"""The six problems as an optimizer sees them: points to move, constraints to keep, one linear thing to raise.

A state is a vector of doubles: the coordinates of all points first, then what goes with them (radii, a width, the least
area or distance). A problem tells what its constraints are worth at a state and how they change near it, and settles a
state: makes the rest fit the points, and tells the value. All that in doubles, hence rounded: what a solution is worth
in the end is for `exact.py` to say.

Sizes are fixed, so that one set of knobs suits all: a unit square, a rectangle of perimeter 4, a triangle with two legs
of 1, a region of unit area, a greatest distance of 1.
"""

from itertools import combinations
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

Array = NDArray[np.float64]


class Problem(Protocol):
    """What the optimizer needs to know of a problem.

    points, dimension: how many points there are, and in how many dimensions.
    objective: the change of the value with each entry of the state.
    """

    points: int
    dimension: int
    objective: Array

    def start(self, points: Array) -> Array:
        """A state with these points (points x dimension), not settled."""

    def sample(self, rng: np.random.Generator, many: int, near: Array | None = None) -> Array:
        """Random places for points (many x dimension); near: a state to whose region they belong."""

    def settle(self, state: Array) -> tuple[Array, float]:
        """The state with the rest made to fit its points, and the value; higher is better."""

    def constraints(self, state: Array) -> tuple[Array, Array]:
        """Values g and derivatives A: a small step must keep g + A @ step >= 0."""

    def solution(self, state: Array, trim: float) -> dict[str, object]:
        """What `exact.py` judges; smaller by the share `trim`, where rounding may have left it too large by a bit."""


class Circles:
    """Disjoint circles in a rectangle of perimeter 4, square or of free width: raise the sum of the radii.

    State: x and y of each centre, the radii, the width (two entries a side of the square, so that both have one form).
    """

    dimension = 2

    def __init__(self, points: int, *, square: bool) -> None:
        self.points = points
        self.square = square
        self.objective = np.concatenate([np.zeros(2 * points), np.ones(points), [0.0]])
        self._first, self._second = np.triu_indices(points, 1)

    def start(self, points: Array) -> Array:
        return np.concatenate([points.ravel(), np.zeros(self.points), [1.0]])

    def sample(self, rng: np.random.Generator, many: int, near: Array | None = None) -> Array:
        width = 1.0 if near is None else near[-1]
        return rng.random((many, 2)) * (width, 2 - width)

    def settle(self, state: Array) -> tuple[Array, float]:
        n = self.points
        # a linear program keeps its constraints to 1e-7 only, and by so much a square's side would drift
        width = 1.0 if self.square else state[-1]
        places, radii = state[: 2 * n].reshape(n, 2), state[2 * n : -1]
        room = np.minimum(places, (width, 2 - width) - places).min(axis=1)
        apart = np.hypot(*(places[:, None] - places).T)
        np.fill_diagonal(apart, np.inf)
        fitting = np.clip(radii, 0.0, np.maximum(room, 0.0))
        for i in range(n):
            fitting[i] = max(0.0, min(fitting[i], (apart[i] - fitting).min()))
        return np.concatenate([state[: 2 * n], fitting, [width]]), float(fitting.sum())

    def constraints(self, state: Array) -> tuple[Array, Array]:
        n, first, second = self.points, self._first, self._second
        places, radii, width = state[: 2 * n].reshape(n, 2), state[2 * n : -1], state[-1]
        apart = places[first] - places[second]
        distance = np.hypot(*apart.T)
        along = apart / np.maximum(distance, 1e-12)[:, None]
        pair = np.arange(len(first))
        pairs = np.zeros((len(first), len(state)))
        for axis in (0, 1):
            pairs[pair, 2 * first + axis] = along[:, axis]
            pairs[pair, 2 * second + axis] = -along[:, axis]
        pairs[pair, 2 * n + first] = pairs[pair, 2 * n + second] = -1.0
        # left, bottom, right, top
        each = np.arange(n)
        walls = np.zeros((4, n, len(state)))
        for wall, (axis, sign) in enumerate([(0, 1.0), (1, 1.0), (0, -1.0), (1, -1.0)]):
            walls[wall, each, 2 * each + axis] = sign
            walls[wall, each, 2 * n + each] = -1.0
        walls[2, :, -1] = 1.0
        walls[3, :, -1] = -1.0
        left, bottom = places.T
        gaps = np.stack([left, bottom, width - left, 2 - width - bottom]) - radii
        values = [distance - radii[first] - radii[second], gaps.ravel(), radii]
        own = np.zeros((n, len(state)))
        own[each, 2 * n + each] = 1.0
        rows = [pairs, walls.reshape(4 * n, -1), own]
        if self.square:
            fixed = np.zeros((1, len(state)))
            fixed[0, -1] = 1.0
            values += [np.zeros(2)]
            rows += [fixed, -fixed]
        return np.concatenate(values), np.concatenate(rows)

    def solution(self, state: Array, trim: float) -> dict[str, object]:
        n = self.points
        circles = np.column_stack([state[: 2 * n].reshape(n, 2), state[2 * n : -1] * (1 - trim)])
        return {"circles": circles.tolist()} | ({} if self.square else {"width": float(state[-1])})


class Triangles:
    """Points of which no three are nearly in line: raise the least area of a triangle, as a share of a region's.

    The region is a triangle, which all triangles are after an affine map, or the convex hull of the points. State: x
    and y of each point, the least area.
    """

    dimension = 2

    def __init__(self, points: int, *, convex: bool) -> None:
        self.points = points
        self.convex = convex
        self.objective = np.concatenate([np.zeros(2 * points), [1.0]])
        self._corners = np.array(list(combinations(range(points), 3)))

    def start(self, points: Array) -> Array:
        return np.concatenate([points.ravel(), [0.0]])

    def sample(self, rng: np.random.Generator, many: int, near: Array | None = None) -> Array:
        places = rng.random((many, 2))
        if self.convex:
            if near is None:
                return places
            known = near[:-1].reshape(-1, 2)
            low, high = known.min(axis=0), known.max(axis=0)
            return low + places * (high - low)
        return np.where(places.sum(axis=1, keepdims=True) > 1, 1 - places, places)

    def settle(self, state: Array) -> tuple[Array, float]:
        places = state[:-1].reshape(-1, 2)
        if self.convex:
            places = places - places.mean(axis=0)
            places = places / np.sqrt(_hull(places)[1])
        else:
            places = np.maximum(places, 0.0)
            places = places / np.maximum(places.sum(axis=1, keepdims=True), 1.0)
        least = float(np.abs(self._areas(places)).min())
        return np.concatenate([places.ravel(), [least]]), least

    def constraints(self, state: Array) -> tuple[Array, Array]:
        places = state[:-1].reshape(-1, 2)
        areas = self._areas(places)
        sign = np.where(areas < 0, -1.0, 1.0)
        row = np.arange(len(areas))
        triangles = np.zeros((len(areas), len(state)))
        for k in range(3):
            corner, following, before = (self._corners[:, (k + shift) % 3] for shift in (0, 1, 2))
            scale = sign * self._unit / 2
            triangles[row, 2 * corner] = scale * (places[following, 1] - places[before, 1])
            triangles[row, 2 * corner + 1] = scale * (places[before, 0] - places[following, 0])
        triangles[:, -1] = -1.0
        edges, gaps = self._region(places)
        return np.concatenate([sign * areas - state[-1], gaps]), np.concatenate([triangles, edges])

    def solution(self, state: Array, trim: float) -> dict[str, object]:
        return {"points": (state[:-1].reshape(-1, 2) * (1 - trim)).tolist()}

    @property
    def _unit(self) -> float:
        """What areas are multiplied with: the unit triangle with two legs of 1 has an area of a half."""
        return 1.0 if self.convex else 2.0

    def _areas(self, places: Array) -> Array:
        a, b, c = (places[self._corners[:, k]] for k in range(3))
        u, v = b - a, c - a
        return self._unit * (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) / 2

    def _region(self, places: Array) -> tuple[Array, Array]:
        """Rows and values that keep the points in the triangle, or the hull's area at 1."""
        n = self.points
        if self.convex:
            around, area = _hull(places)
            row = np.zeros((1, 2 * n + 1))
            before, after = places[np.roll(around, 1)], places[np.roll(around, -1)]
            row[0, 2 * around] = -(after[:, 1] - before[:, 1]) / 2
            row[0, 2 * around + 1] = -(before[:, 0] - after[:, 0]) / 2
            return row, np.array([1.0 - area])
        each = np.arange(n)
        rows = np.zeros((3, n, 2 * n + 1))
        rows[0, each, 2 * each] = 1.0
        rows[1, each, 2 * each + 1] = 1.0
        rows[2, each, 2 * each] = rows[2, each, 2 * each + 1] = -1.0
        return rows.reshape(3 * n, -1), np.concatenate([places[:, 0], places[:, 1], 1.0 - places.sum(axis=1)])


class Distances:
    """Points whose distances differ little: with no distance above 1, raise the least one.

    State: the coordinates, the least distance.
    """

    def __init__(self, points: int, dimension: int) -> None:
        self.points = points
        self.dimension = dimension
        self.objective = np.concatenate([np.zeros(points * dimension), [1.0]])
        self._first, self._second = np.triu_indices(points, 1)

    def start(self, points: Array) -> Array:
        return np.concatenate([points.ravel(), [0.0]])

    def sample(self, rng: np.random.Generator, many: int, near: Array | None = None) -> Array:
        if near is None:
            return rng.random((many, self.dimension))
        places = near[:-1].reshape(-1, self.dimension)
        low, high = places.min(axis=0), places.max(axis=0)
        return low + rng.random((many, self.dimension)) * (high - low)

    def settle(self, state: Array) -> tuple[Array, float]:
        places = state[:-1].reshape(-1, self.dimension)
        places = places - places.mean(axis=0)
        places = places / self._apart(places)[1].max()
        least = float(self._apart(places)[1].min())
        return np.concatenate([places.ravel(), [least]]), least

    def constraints(self, state: Array) -> tuple[Array, Array]:
        apart, distance = self._apart(state[:-1].reshape(-1, self.dimension))
        along = apart / np.maximum(distance, 1e-12)[:, None]
        pair = np.arange(len(distance))
        rows = np.zeros((len(distance), len(state)))
        for axis in range(self.dimension):
            rows[pair, self.dimension * self._first + axis] = along[:, axis]
            rows[pair, self.dimension * self._second + axis] = -along[:, axis]
        least = rows.copy()
        least[:, -1] = -1.0
        return np.concatenate([distance - state[-1], 1.0 - distance]), np.concatenate([least, -rows])

    def solution(self, state: Array, trim: float) -> dict[str, object]:
        return {"points": (state[:-1].reshape(-1, self.dimension) * (1 - trim)).tolist()}

    def _apart(self, places: Array) -> tuple[Array, Array]:
        apart = places[self._first] - places[self._second]
        return apart, np.sqrt((apart**2).sum(axis=1))


def _hull(places: Array) -> tuple[NDArray[np.intp], float]:
    """The corners of the convex hull, counterclockwise, and its area."""
    hull = ConvexHull(places)
    return hull.vertices, float(hull.volume)


PROBLEMS: dict[str, Problem] = {
    "circles-square": Circles(26, square=True),
    "circles-rectangle": Circles(21, square=False),
    "heilbronn-triangle": Triangles(11, convex=False),
    "heilbronn-convex": Triangles(13, convex=True),
    "distances-plane": Distances(16, 2),
    "distances-space": Distances(14, 3),
}
