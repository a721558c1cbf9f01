"""Take a benchmark's test code apart, so that expected values never meet the program.

`assert candidate(x) == y` becomes the expression `candidate(x)`, which is evaluated with the
program, and the value y, which is compared outside. Test code that does not come apart like this
(tolerances, loops, helpers) runs whole in a sandbox of its own and asks for results by number.
"""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from restem.rewards.code_spec import Spec

RECORDER: Final = "__record__"
_CONVERSIONS: Final = frozenset(
    ("set", "sorted", "list", "tuple", "int", "float", "str", "len", "round", "bool", "dict", "sum")
)
_EMPTY_SETS: Final = ("set()", "frozenset()")


@dataclass(frozen=True)
class Case:
    """An expression to evaluate with the program, and what is to come out.

    relation: `==`, or `true` and `false` for an assertion of the bare result.
    """

    expression: str
    relation: str
    expected: Any = None


class _Whole(Exception):  # noqa: N818 - a decision, not an error
    """Say that test code does not come apart."""


def entry_of(tests: Sequence[str], known: Sequence[str] = ()) -> str:
    """Return the function that assertions call; `known`: those that a reference defines.

    Without a known one, the innermost call on the left that is no conversion, else the outermost.
    """
    called = [name for test in tests for name in _called(test)]
    likely = [name for name in called if name in known]
    likely += [name for name in called if name not in _CONVERSIONS]
    return next(iter(likely + called), "")


def _called(test: str) -> list[str]:
    try:
        statement = ast.parse(test).body[0]
    except (SyntaxError, IndexError):
        return []
    calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
    return [call.func.id for call in calls if isinstance(call.func, ast.Name)]


def take_apart(spec: Spec) -> list[Case] | None:
    """Return the cases of a specification of kind `asserts`, or None where it must run whole."""
    name = spec.bind or spec.entry
    try:
        return [_case(node, name) for node in _assertions(ast.parse(spec.tests), spec.bind)] or None
    except _Whole:
        return None


def divided(spec: Spec, held_back: int) -> tuple[str, str] | None:
    """Return test code without its last assertions, and with these alone; one stays in the first.

    None where the code does not come apart or has one assertion only.
    """
    held = min(held_back, len(take_apart(spec) or [0]) - 1)
    if held < 1:
        return None
    return _only(spec, slice(None, -held)), _only(spec, slice(-held, None))


def _only(spec: Spec, wanted: slice) -> str:
    """Write test code with some of its assertions."""
    module = ast.parse(spec.tests)
    kept = _assertions(module, spec.bind)[wanted]
    body = _check_body(module) if spec.bind else module.body
    body[:] = [node for node in body if not isinstance(node, ast.Assert) or node in kept]
    return ast.unparse(module)


def _assertions(module: ast.Module, bind: str) -> list[ast.Assert]:
    body = _check_body(module) if bind else module.body
    kept = [node for node in body if not _idle(node)]
    if not all(isinstance(node, ast.Assert) for node in kept):
        raise _Whole
    return [node for node in kept if isinstance(node, ast.Assert) and not _trivial(node)]


def _check_body(module: ast.Module) -> list[ast.stmt]:
    """Return the body of `check`, beside which only constants may stand."""
    checks = [node for node in module.body if isinstance(node, ast.FunctionDef)]
    constants = all(isinstance(n, (ast.FunctionDef, ast.Assign)) or _idle(n) for n in module.body)
    if len(checks) != 1 or checks[0].name != "check" or not constants:
        raise _Whole
    return checks[0].body


def _idle(node: ast.stmt) -> bool:
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, (ast.Constant, ast.Name))
    return is_text or isinstance(node, (ast.Pass, ast.Import))


def _trivial(node: ast.Assert) -> bool:
    return isinstance(node.test, ast.Constant) and bool(node.test.value)


def _case(node: ast.Assert, name: str) -> Case:
    test = node.test
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        if not isinstance(test.ops[0], (ast.Eq, ast.Is)):
            raise _Whole
        expected = _value(test.comparators[0])
        if isinstance(test.ops[0], ast.Is) and not isinstance(expected, (bool, type(None))):
            raise _Whole
        return Case(_expression(test.left, name), "==", expected)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return Case(_expression(test.operand, name), "false")
    return Case(_expression(test, name), "true")


def _value(node: ast.expr) -> Any:
    if ast.unparse(node) in _EMPTY_SETS:
        return set()
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise _Whole from None


def _expression(node: ast.expr, name: str) -> str:
    """Return a call of the program, perhaps inside conversions: nothing else."""
    inner = node
    while _calls(inner) in _CONVERSIONS and _calls(inner) != name:
        if not isinstance(inner, ast.Call) or not inner.args:
            raise _Whole
        inner = inner.args[0]
    if _calls(inner) != name:
        raise _Whole
    if sum(isinstance(n, ast.Name) and n.id == name for n in ast.walk(node)) != 1:
        raise _Whole
    if any(isinstance(part, (ast.Lambda, ast.NamedExpr, ast.Await)) for part in ast.walk(node)):
        raise _Whole
    return ast.unparse(node)


def _calls(node: ast.expr) -> str:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


class _Recorder(ast.NodeTransformer):
    """Turn `assert x` into a call that records whether x holds."""

    def visit_Assert(self, node: ast.Assert) -> ast.Expr:
        """Replace one assertion."""
        arguments = ast.arguments([], [], None, [], [], None, [])
        call = ast.Call(ast.Name(RECORDER, ast.Load()), [ast.Lambda(arguments, node.test)], [])
        return ast.Expr(call)


def recorded(spec: Spec) -> tuple[str, int]:
    """Return the test code with its assertions recorded one by one, and how many stand in it."""
    module = ast.parse(spec.tests)
    count = sum(isinstance(node, ast.Assert) for node in ast.walk(module))
    code = ast.unparse(ast.fix_missing_locations(_Recorder().visit(module)))
    return (f"{code}\ncheck({spec.bind})\n" if spec.bind else code), count


def defined(program: str) -> list[str]:
    """Return the functions and classes at the margin of a reference program, which is trusted."""
    try:
        body = ast.parse(program).body
    except SyntaxError:
        return []
    return [n.name for n in body if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
