"""What a program imports, so that a warm worker can import it beforehand. Pure: it reads source text."""

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Final

_LATER: Final = re.compile(r"\b(TYPE_CHECKING|__name__)\b")
_ENVIRONMENT: Final = {"environ", "environb"}
_SETTERS: Final = {"setdefault", "update", "putenv", "unsetenv", "pop", "clear", "__setitem__"}


def modules_of(files: Mapping[str, str], script: str) -> tuple[str, ...]:
    """The modules from elsewhere that a program imports as it starts, in the order in which it does.

    Imports within functions and classes are not among them, and what cannot be parsed has none.
    """
    found: dict[str, None] = {}
    for tree in _own_modules(files, script):
        for name in _imported(tree):
            if not _own_file(files, name):
                found.setdefault(name)
    return tuple(found)


def sets_environment(files: Mapping[str, str], script: str) -> bool:
    """Whether a program may change its environment before it imports: libraries read it when they are imported."""
    return any(
        _is_setting(node)
        for tree in _own_modules(files, script)
        for statement in _at_start(tree)
        for node in ast.walk(statement)
    )


def _own_modules(files: Mapping[str, str], script: str) -> Iterator[ast.Module]:
    """The script and those of its own files that are imported with it, each once."""
    waiting, seen = [script], {script}
    for name in waiting:
        try:
            tree = ast.parse(files[name])
        except (SyntaxError, ValueError, RecursionError):
            continue
        yield tree
        for module in _imported(tree):
            own = _own_file(files, module)
            if own and own not in seen:
                seen.add(own)
                waiting.append(own)


def _own_file(files: Mapping[str, str], module: str) -> str | None:
    path = module.replace(".", "/")
    return next((name for name in (f"{path}.py", f"{path}/__init__.py") if name in files), None)


def _imported(tree: ast.Module) -> Iterator[str]:
    for statement in _at_start(tree):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            yield statement.module


def _at_start(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported: what is for type checkers or for the script alone is not."""
    waiting: list[ast.stmt] = list(reversed(tree.body))
    while waiting:
        statement = waiting.pop()
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if isinstance(statement, ast.If) and _LATER.search(ast.unparse(statement.test)):
            continue
        inner: list[ast.stmt] = []
        for node in ast.iter_child_nodes(statement):
            if isinstance(node, ast.ExceptHandler):
                inner += node.body
            elif isinstance(node, ast.stmt):
                inner.append(node)
        if not inner:
            yield statement
        waiting.extend(reversed(inner))


def _is_setting(node: ast.AST) -> bool:
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        return _names_environment(node.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _SETTERS:
        return node.func.attr in ("putenv", "unsetenv") or _names_environment(node.func.value)
    return False


def _names_environment(node: ast.AST) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr in _ENVIRONMENT) or (
        isinstance(node, ast.Name) and node.id in _ENVIRONMENT
    )
