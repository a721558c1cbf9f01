"""Write the syntax of Python code in a canonical form that every version of Python agrees on.

`ast.dump` will not do: what it writes of the same code differs between versions. Python 3.12 added
fields (`type_params`) and reads f-strings in other pieces; 3.13 leaves fields out that are empty.
"""

import ast
from collections.abc import Iterator
from itertools import groupby
from typing import Any

# Say nothing that the rest of the tree does not: whether a name is read or written, `u` in front of
# a string, and comments.
_WITHOUT_MEANING = frozenset({"ctx", "kind", "type_comment", "type_ignores"})

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

_fields_by_kind: dict[type, tuple[str, ...]] = {}


def canonical_syntax(tree: ast.AST) -> str:
    """Write a tree without positions, fields that are empty, and what has no meaning.

    Equal texts mean equal code, comments, docstrings and formatting aside.
    """
    pieces: list[str] = []
    _write(tree, pieces)
    return "".join(pieces)


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield a tree and all its statements; skipping expressions is faster than `ast.walk`."""
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            stack += getattr(node, field, ())


def _write(node: Any, pieces: list[str]) -> None:
    kind = type(node)
    if kind is ast.Constant:
        pieces.append(f"{node.value!a};")  # !r would depend on which letters a version can print
        return
    pieces.append(f"{kind.__name__}(")
    for field in _fields(kind):
        value = getattr(node, field, None)
        if value is None:
            continue
        if isinstance(value, list):
            value = _values(node, field, value)
            if value:
                pieces.append(f"{field}[")
                for item in value:
                    _write_value(item, pieces)
                pieces.append("]")
        elif not _is_empty_format(field, value):
            pieces.append(f"{field}=")
            _write_value(value, pieces)
    pieces.append(")")


def _write_value(value: Any, pieces: list[str]) -> None:
    if isinstance(value, ast.AST):
        _write(value, pieces)
    else:  # an identifier, a number of dots, a conversion, or None for the key of `**` in a dict
        pieces.append(f"{value!a};")


def _fields(kind: type[ast.AST]) -> tuple[str, ...]:
    if kind not in _fields_by_kind:
        # By name, because a later version may insert a field in the middle.
        _fields_by_kind[kind] = tuple(sorted(set(kind._fields) - _WITHOUT_MEANING))
    return _fields_by_kind[kind]


def _values(node: Any, field: str, value: list[Any]) -> list[Any]:
    """Return the items of a field, without a docstring, and an f-string's texts as one each."""
    if isinstance(node, ast.JoinedStr):
        return _merged(value)
    if field == "body" and isinstance(node, _DOCUMENTED) and _is_docstring(value):
        return value[1:]
    return value


def _is_docstring(body: list[Any]) -> bool:
    first = body[0].value if body and isinstance(body[0], ast.Expr) else None
    return isinstance(first, ast.Constant) and isinstance(first.value, str)


def _merged(values: list[Any]) -> list[Any]:
    """Join the neighbouring texts of an f-string: where they are cut depends on the version."""
    merged: list[Any] = []
    for is_text, group in groupby(values, lambda value: isinstance(value, ast.Constant)):
        if not is_text:
            merged += group
        elif text := "".join(piece.value for piece in group):
            merged.append(ast.Constant(text))
    return merged


def _is_empty_format(field: str, value: Any) -> bool:
    """Tell whether a value is the format of `f"{x:}"`, which says as much as `f"{x}"`."""
    return field == "format_spec" and isinstance(value, ast.JoinedStr) and not value.values
