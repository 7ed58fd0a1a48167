import ast
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import KnobError
from trainer.knobs import Constant, literal, read, rewrite

scalars = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20)
)
constants = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=5)
names = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True)
assignments = st.dictionaries(names, constants, min_size=1, max_size=6)
between = st.sampled_from(
    ["", "\n", "# a comment with é and = 3\n", "def f(x):\n    y = x\n    return y\n", "import os\n"]
)


@st.composite
def programs(draw: st.DrawFn) -> tuple[str, dict[str, Constant]]:
    held = draw(assignments)
    lines = []
    for name, value in held.items():
        annotation = draw(st.sampled_from(["", ": object"]))
        comment = draw(st.sampled_from(["", "  # why ü", ";  pass"]))
        lines.append(draw(between) + f"{name}{annotation} = {literal(value)}{comment}\n")
    return "".join(lines), held


@given(programs())
def test_every_written_constant_is_read_back(program: tuple[str, dict[str, Constant]]) -> None:
    source, held = program
    assert repr(read(source)) == repr(held)


@given(programs(), st.data())
def test_rewriting_changes_just_the_named_values(program: tuple[str, dict[str, Constant]], data: st.DataObject) -> None:
    source, held = program
    values = data.draw(st.dictionaries(st.sampled_from(sorted(held)), constants))
    assert repr(read(rewrite(source, values))) == repr(read(source) | values)


@given(programs())
def test_rewriting_with_the_same_values_is_the_identity(program: tuple[str, dict[str, Constant]]) -> None:
    source, _ = program
    assert rewrite(source, read(source)) == source


@given(programs(), st.data())
def test_rewriting_there_and_back_is_the_identity(
    program: tuple[str, dict[str, Constant]], data: st.DataObject
) -> None:
    source, held = program
    values = data.draw(st.dictionaries(st.sampled_from(sorted(held)), constants))
    assert rewrite(rewrite(source, values), held) == source


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_round_trip_bit_for_bit(value: float) -> None:
    back = read(rewrite("X = 1.0\n", {"X": value}))["X"]
    assert isinstance(back, float)
    assert back.hex() == value.hex()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2**19", 524288),
        ("-3", -3),
        ("+2.5", 2.5),
        ("(0.8, 0.95)", (0.8, 0.95)),
        ("64 * 1024", 65536),
        ("7 // 2", 3),
        ("1 / 4", 0.25),
        ("2**-1", 0.5),
        ('"SS" "SL"', "SSSL"),
        ("True", True),
    ],
)
def test_constants_as_people_write_them(text: str, value: Constant) -> None:
    assert repr(read(f"X = {text}")["X"]) == repr(value)


@pytest.mark.parametrize(
    "text",
    ["None", "[1]", "f(1)", "1e999", "9**9**9", "2.0**99999", "1 / 0", "(-1)**0.5",
     "'a' * 3", "True + 1", "b'x'", "1j", "(1, y)"],
)  # fmt: skip
def test_other_values_are_no_constants(text: str) -> None:
    assert "X" not in read(f"X = {text}")


def test_only_the_literal_changes() -> None:
    source = 'A = ( # é first\n    2**19\n)  # kept\nB: float = 1e-3; C = "x"  # also kept\n'
    assert rewrite(source, {"A": 7, "B": 0.5, "C": 'y"'}) == (
        "A = ( # é first\n    7\n)  # kept\nB: float = 0.5; C = 'y\"'  # also kept\n"
    )


def test_an_arithmetic_spelling_survives_its_own_value() -> None:
    assert rewrite("A = 2**19\n", {"A": 524288}) == "A = 2**19\n"


def test_the_type_of_a_number_is_part_of_it() -> None:
    assert rewrite("A = 1\n", {"A": True}) == "A = True\n"
    assert rewrite("A = 1\n", {"A": 1.0}) == "A = 1.0\n"


@pytest.mark.parametrize(
    "source",
    [
        "A = 1\nA = 2\n",
        "A = 1\nif True:\n    A = 2\n",
        "A = 1\nA += 1\n",
        "A = 1\ndef f():\n    global A\n    A = 2\n",
        "A = 1\nfor A in range(3):\n    pass\n",
        "A = 1\nimport os as A\n",
        "A = 1\ndel A\n",
    ],
)
def test_a_name_bound_twice_is_refused(source: str) -> None:
    assert "A" not in read(source)
    with pytest.raises(KnobError, match=r"A is bound [23] times"):
        rewrite(source, {"A": 3})


def test_a_function_may_have_a_variable_of_the_same_name() -> None:
    assert read("A = 1\ndef f():\n    A = 2\n    return A\n") == {"A": 1}


def test_a_missing_name_and_a_computed_one_are_refused_by_name() -> None:
    with pytest.raises(KnobError, match="no module-level constant B"):
        rewrite("A = 1\n", {"B": 1})
    with pytest.raises(KnobError, match="A is not assigned a literal"):
        rewrite("A = len('x')\n", {"A": 1})


@pytest.mark.parametrize("value", [math.nan, math.inf, None, [1], b"x"])
def test_values_without_a_literal_are_refused(value: object) -> None:
    with pytest.raises(KnobError, match="is no constant"):
        rewrite("A = 1\n", {"A": value})  # type: ignore[dict-item]


@pytest.mark.parametrize("source", ["A = = 1", "A = 1\0", "x" + "(" * 1000 + ")" * 1000])
def test_a_source_that_is_not_python_is_a_named_error(source: str) -> None:
    with pytest.raises(KnobError, match="program"):
        read(source)


@given(st.text(max_size=60))
def test_no_source_makes_reading_crash(source: str) -> None:
    try:
        held = read(source)
    except KnobError:
        return
    for name, value in held.items():
        assert ast.literal_eval(literal(value)) == value, name


def test_carriage_returns_do_not_move_the_spans() -> None:
    assert rewrite("A = 1\r\nB = 2\r\n", {"B": 30}) == "A = 1\r\nB = 30\r\n"
