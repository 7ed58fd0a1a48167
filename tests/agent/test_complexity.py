import pytest

from agent.complexity import PRICED_GROWTH, Complexity, complexity, is_simpler, price
from node.simulation.world import make_task
from trainer.recipe import BASELINE, Recipe, make_recipe

LEAN = Complexity(code=1000, parameters=500, settings=2)


def of_code(text: str) -> int:
    return complexity(make_task(), Recipe({}, {"train.py": text})).code


def test_comments_and_layout_are_no_code() -> None:
    plain = "x = 1\nif x:\n    print(x)\n"
    assert of_code(plain) == of_code("# why\nx = 1  # one\n\n\nif x:\n        print(x)\n") > 0
    assert of_code(plain + "y = x\n") > of_code(plain)


@pytest.mark.parametrize("text", ["", "(", "def f(:\n\tx\n  y", "\x00", "no python at all, 'half"])
def test_any_text_has_a_size(text: str) -> None:
    assert of_code(text) >= 0


def test_a_knob_set_otherwise_is_no_code() -> None:
    task = make_task()
    assert complexity(task, make_recipe(task, {"DEPTH": 5})).code == complexity(task, BASELINE).code


def test_a_tenth_more_costs_the_minimum_once_more_and_less_costs_nothing() -> None:
    assert price(LEAN, LEAN) == 1
    assert price(LEAN, Complexity(1100, 500, 9)) == pytest.approx(2)
    assert price(LEAN, Complexity(1100, 550, 2)) == pytest.approx(3)
    assert price(LEAN, Complexity(500, 550, 2)) == pytest.approx(2)
    assert price(LEAN, Complexity(1000, 1000, 2)) == pytest.approx(8.3, abs=0.1)
    assert price(LEAN, Complexity(1000, 0, 2)) == 1  # unknown
    assert PRICED_GROWTH == 1.1


@pytest.mark.parametrize(
    ("candidate", "simpler"),
    [
        (LEAN, False),
        (Complexity(999, 500, 2), True),
        (Complexity(999, 501, 2), False),
        (Complexity(999, 400, 2), True),
        (Complexity(1000, 499, 9), True),
        (Complexity(1001, 400, 0), False),
        (Complexity(1000, 501, 0), False),
        (Complexity(1000, 500, 1), True),
        (Complexity(1000, 500, 3), False),
        (Complexity(1000, 0, 1), True),
    ],
)
def test_what_is_simpler(candidate: Complexity, simpler: bool) -> None:
    assert is_simpler(LEAN, candidate) is simpler
    assert not (simpler and is_simpler(candidate, LEAN))
