"""Knobs are module-level constants of a program: read them, and rewrite their literals in place.

Only the span of the literal changes, so comments and layout survive and a recipe is always also a
small source diff. Two laws hold: `read(rewrite(s, v)) == read(s) | v`, and rewriting a constant with
the value it already has leaves the source as it is, even where that value is written `2**19`.
"""

import ast
import math
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from trainer.errors import KnobError

Scalar: TypeAlias = int | float | bool | str
Constant: TypeAlias = int | float | bool | str | tuple["Constant", ...]

# A program may write 9**9**9; reading it must not take the node down.
_MAX_BITS = 4096

_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}


def read(source: str) -> dict[str, Constant]:
    """The module-level constants of a Python source, in order of appearance.

    A constant is a name bound exactly once in the module, by a plain or annotated assignment of a
    finite number, a bool, a string, a tuple of such values, or arithmetic on numbers (`2**19`).

    Raises:
        KnobError: the source is not valid Python.
    """
    constants, _ = _parse(source)
    return {name: value for name, (_, value) in constants.items()}


def rewrite(source: str, values: Mapping[str, Constant]) -> str:
    """The source with the literals of the named constants replaced by `values`.

    Raises:
        KnobError: a name is not a constant of the source (see `read`), or a value has no literal.
    """
    constants, bindings = _parse(source)
    texts: dict[str, bytes] = {}
    for name, value in values.items():
        if name not in constants:
            raise KnobError(_why_not(name, bindings[name]))
        text = literal(value)
        # repr tells 1 from True from 1.0, and 0.0 from -0.0, where == does not.
        if repr(constants[name][1]) != repr(value):
            texts[name] = text.encode()
    return _replaced(source, {constants[name][0]: text for name, text in texts.items()})


def respell(source: str, model: str, names: Iterable[str]) -> str:
    """The source with the named constants written as `model` writes them; those that either lacks stay as they are.

    Raises:
        KnobError: one of the two is not valid Python.
    """
    constants, models = _parse(source)[0], _parse(model)[0]
    shared = [name for name in names if name in constants and name in models]
    return _replaced(source, {constants[name][0]: _segment(model, models[name][0]) for name in shared})


def literal(value: Constant) -> str:
    """The Python literal that reads back as exactly `value`; strings in double quotes where possible.

    Raises:
        KnobError: the value is of another type, or not finite.
    """
    match value:
        case bool() | int():
            return repr(value)
        case float() if math.isfinite(value):
            return repr(value)
        case str():
            text = repr(value)
            return f'"{text[1:-1]}"' if text[0] == "'" and '"' not in value else text
        case tuple():
            items = [literal(item) for item in value]
            return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
        case _:
            raise KnobError(f"{value!r} is no constant; use a finite number, a bool, a string or a tuple of them")


def _parse(source: str) -> tuple[dict[str, tuple[ast.expr, Constant]], Counter[str]]:
    """Constants with the node of their value, and how often each name is bound at module level."""
    try:
        module = ast.parse(source)
    except SyntaxError as error:
        raise KnobError(f"the program is not valid Python: line {error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise KnobError(f"the program cannot be parsed: {error}") from error
    bindings = _bindings(module)
    constants: dict[str, tuple[ast.expr, Constant]] = {}
    for statement in module.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as node):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as node):
                pass
            case _:
                continue
        try:
            value = _evaluate(node)
        except RecursionError:
            continue  # a sum of a thousand terms is no knob
        if value is not None and bindings[name] == 1:
            constants[name] = (node, value)
    return constants, bindings


def _span(data: bytes, node: ast.expr) -> tuple[int, int]:
    """Where a node's text begins and ends in the encoded source."""
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    last = (node.end_lineno or node.lineno) - 1
    return starts[node.lineno - 1] + node.col_offset, starts[last] + (node.end_col_offset or 0)


def _segment(source: str, node: ast.expr) -> bytes:
    data = source.encode()
    begin, end = _span(data, node)
    return data[begin:end]


def _replaced(source: str, texts: Mapping[ast.expr, bytes]) -> str:
    """The source with the text of these nodes replaced."""
    data = source.encode()
    edits = [(*_span(data, node), text) for node, text in texts.items()]
    for begin, end, replacement in sorted(edits, reverse=True):
        data = data[:begin] + replacement + data[end:]
    return data.decode()


def _bindings(module: ast.Module) -> Counter[str]:
    found: Counter[str] = Counter()
    pending: list[ast.AST] = list(module.body)
    while pending:
        node = pending.pop()
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                found[name] += 1
            case ast.alias():
                found[(node.asname or node.name).split(".")[0]] += 1
            case ast.ExceptHandler(name=str(name)):
                found[name] += 1
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found[node.name] += 1
                # A function's own variables are not the module's, unless it says `global`.
                for inner in ast.walk(node):
                    if isinstance(inner, ast.Global):
                        found.update(inner.names)
                continue
            case ast.Lambda():
                continue
        pending.extend(ast.iter_child_nodes(node))
    return found


def _evaluate(node: ast.expr) -> Constant | None:
    """The value of a constant expression, or None if it is not one."""
    match node:
        case ast.Constant(value=bool() | int() | str() as value):
            return value
        case ast.Constant(value=float() as value):
            return value if math.isfinite(value) else None
        case ast.Tuple(elts=elements):
            items = [_evaluate(element) for element in elements]
            return None if None in items else tuple(item for item in items if item is not None)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            number = _number(operand)
            if number is None:
                return None
            return -number if isinstance(sign, ast.USub) else number
        case ast.BinOp(left=left, op=op, right=right):
            return _arithmetic(_number(left), op, _number(right))
        case _:
            return None


def _number(node: ast.expr) -> int | float | None:
    value = _evaluate(node)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _arithmetic(left: float | None, op: ast.operator, right: float | None) -> int | float | None:
    apply = _OPERATORS.get(type(op))
    if left is None or right is None or apply is None:
        return None
    whole = isinstance(left, int) and isinstance(right, int)
    if whole and isinstance(op, ast.Pow) and int(left).bit_length() * abs(right) > _MAX_BITS:
        return None
    try:
        value: object = apply(left, right)
    except (ArithmeticError, ValueError):
        return None
    # (-1)**0.5 is complex.
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def _why_not(name: str, bindings: int) -> str:
    if bindings == 0:
        return f"the program has no module-level constant {name}; add a line `{name} = ...`"
    if bindings > 1:
        return f"{name} is bound {bindings} times in the program; a knob must be assigned exactly once"
    return f"{name} is not assigned a literal at module level; write `{name} = ` and a number, bool or string"
