"""What a solution is worth, without any rounding; or why it is none.

A double is a fraction with a power of two below the line, and all that is asked here is a question about sums and
products of fractions: no square root is ever taken, distances are compared by their squares. So the verdict has no
tolerance: circles that overlap in the last bit overlap. Standard library only, for whoever wants to read or rewrite it.
"""

from collections.abc import Callable
from fractions import Fraction
from itertools import combinations

Point = tuple[Fraction, ...]

MAX_NUMBER = 1e6


class Invalid(Exception):
    """The solution breaks a rule of the problem; the message says which and where."""


def circles_square(solution: dict[str, object]) -> Fraction:
    """26 disjoint circles in the unit square: the sum of their radii."""
    return _circles(_rows(solution, "circles", 26, 3), Fraction(1))


def circles_rectangle(solution: dict[str, object]) -> Fraction:
    """21 disjoint circles in a rectangle of perimeter 4, whose `width` is free: the sum of their radii."""
    width = _number(solution.get("width"), "width")
    if not 0 < width < 2:
        raise Invalid(f"width is {float(width)!r}; a rectangle of perimeter 4 is wider than 0 and narrower than 2")
    return _circles(_rows(solution, "circles", 21, 3), width)


def heilbronn_triangle(solution: dict[str, object]) -> Fraction:
    """11 points in the triangle (0, 0), (1, 0), (0, 1): the least area of three of them, as a share of its area.

    Affine maps keep shares of areas, so the shape of the triangle does not matter.
    """
    points = _points(solution, 11, 2)
    for index, (x, y) in enumerate(points):
        if x < 0 or y < 0 or x + y > 1:
            raise Invalid(f"point {index} lies outside the triangle")
    return _least_area(points) / Fraction(1, 2)


def heilbronn_convex(solution: dict[str, object]) -> Fraction:
    """13 points: the least area of three of them, as a share of the area of their convex hull."""
    points = _points(solution, 13, 2)
    hull = convex_hull(points)
    region = sum((_twice_area(hull[0], hull[k], hull[k + 1]) for k in range(1, len(hull) - 1)), Fraction(0)) / 2
    if region == 0:
        raise Invalid("all points lie on one line")
    return _least_area(points) / region


def distances_plane(solution: dict[str, object]) -> Fraction:
    """16 points in the plane: the square of the greatest distance over the least."""
    return _distances(_points(solution, 16, 2))


def distances_space(solution: dict[str, object]) -> Fraction:
    """14 points in space: the square of the greatest distance over the least."""
    return _distances(_points(solution, 14, 3))


VALUES: dict[str, Callable[[dict[str, object]], Fraction]] = {
    "circles-square": circles_square,
    "circles-rectangle": circles_rectangle,
    "heilbronn-triangle": heilbronn_triangle,
    "heilbronn-convex": heilbronn_convex,
    "distances-plane": distances_plane,
    "distances-space": distances_space,
}


def convex_hull(points: list[Point]) -> list[Point]:
    """The corners of the convex hull, counterclockwise (Andrew's monotone chain)."""
    chains: list[list[Point]] = []
    for ordered in (sorted(points), sorted(points, reverse=True)):
        chain: list[Point] = []
        for point in ordered:
            while len(chain) > 1 and _twice_area(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        chains.append(chain[:-1])
    return chains[0] + chains[1]


def _circles(circles: list[Point], width: Fraction) -> Fraction:
    height = 2 - width
    for index, (x, y, radius) in enumerate(circles):
        if radius <= 0:
            raise Invalid(f"circle {index} has radius {float(radius)!r}; it must be above 0")
        if x < radius or y < radius or x + radius > width or y + radius > height:
            raise Invalid(f"circle {index} reaches beyond the edge")
    for (i, (x, y, r)), (j, (u, v, s)) in combinations(enumerate(circles), 2):
        if (x - u) ** 2 + (y - v) ** 2 < (r + s) ** 2:
            raise Invalid(f"circles {i} and {j} overlap")
    return sum((radius for _, _, radius in circles), Fraction(0))


def _least_area(points: list[Point]) -> Fraction:
    return min(abs(_twice_area(a, b, c)) for a, b, c in combinations(points, 3)) / 2


def _twice_area(a: Point, b: Point, c: Point) -> Fraction:
    """Twice the area of a triangle, positive if it is counterclockwise."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _distances(points: list[Point]) -> Fraction:
    squares = [sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) for a, b in combinations(points, 2)]
    return Fraction(max(squares)) / min(squares)


def _points(solution: dict[str, object], count: int, dimension: int) -> list[Point]:
    points = _rows(solution, "points", count, dimension)
    for (i, a), (j, b) in combinations(enumerate(points), 2):
        if a == b:
            raise Invalid(f"points {i} and {j} are the same")
    return points


def _rows(solution: dict[str, object], name: str, count: int, width: int) -> list[Point]:
    rows = solution.get(name)
    if not isinstance(rows, list) or len(rows) != count:
        held = f"{len(rows)} of them" if isinstance(rows, list) else "no list of that name"
        raise Invalid(f"{name} must be a list of {count}; there is {held}")
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != width:
            raise Invalid(f"{name}[{index}] must be a list of {width} numbers")
    return [tuple(_number(number, f"{name}[{index}]") for number in row) for index, row in enumerate(rows)]


def _number(value: object, where: str) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(f"{where}: {str(value)[:40]!r} is no number")
    if not abs(value) <= MAX_NUMBER:  # nor is NaN
        raise Invalid(f"{where}: {str(value)[:40]} is not within {MAX_NUMBER:g} of 0")
    return Fraction(value)
