"""Separate a benchmark's assertions from their expected values, which no program may see.

`assert candidate(x) == y` becomes the expression `candidate(x)`, which is evaluated with the
program, and the value y, which is compared outside. Test code that cannot be separated like this
(tolerances, loops, helpers) runs as it is in a sandbox of its own and asks for results by number.

The last tests of a problem can be held back: they decide no reward, and serve to count false
positives.
"""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from restem.rewards.code_spec import Spec, read_spec

RECORDER: Final = "__record__"
_CONVERSIONS: Final = frozenset(
    ("set", "sorted", "list", "tuple", "int", "float", "str", "len", "round", "bool", "dict", "sum")
)
_EMPTY_SETS: Final = ("set()", "frozenset()")


@dataclass(frozen=True)
class Case:
    """An expression to evaluate with the program, and the expected value.

    relation: `==`; `true` or `false` for an assertion about the truth of the value.
    """

    expression: str
    relation: str
    expected: Any = None


class _Inseparable(Exception):  # noqa: N818 - a decision, not an error
    """Signal that test code cannot be separated into cases."""


def entry_of(tests: Sequence[str], defined: Sequence[str] = ()) -> str:
    """Return the function that assertions call; defined: the functions of a reference solution.

    Where none of these is called: the first call that is not a conversion, else the first call.
    """
    called = [name for test in tests for name in _called(test)]
    likely = [name for name in called if name in defined]
    likely += [name for name in called if name not in _CONVERSIONS]
    return next(iter(likely + called), "")


def _called(test: str) -> list[str]:
    try:
        statement = ast.parse(test).body[0]
    except (SyntaxError, IndexError):
        return []
    calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
    return [call.func.id for call in calls if isinstance(call.func, ast.Name)]


def cases_of(spec: Spec) -> list[Case] | None:
    """Return the cases of a specification of kind `asserts`, None where it must run as it is."""
    name = spec.bind or spec.entry
    try:
        return [_case(node, name) for node in _assertions(ast.parse(spec.tests), spec.bind)] or None
    except _Inseparable:
        return None


def deciding_tests(gold: str, held_back: int) -> Spec:
    """Return the tests that decide a reward. Raises RestemError as `read_spec` does."""
    return _split(gold, held_back)[0]


def held_back_tests(gold: str, held_back: int) -> str | None:
    """Return the tests that are held back, as a gold answer; None where there are none."""
    tests = _split(gold, held_back)[1]
    return tests.dump() if tests else None


@lru_cache(maxsize=4096)
def _split(gold: str, held_back: int) -> tuple[Spec, Spec | None]:
    """Hold back the last tests, but not the only one, nor tests that cannot be separated."""
    spec = read_spec(gold)
    if not held_back:
        return spec, None
    count = len(cases_of(spec) or ()) if spec.kind == "asserts" else len(spec.inputs)
    held_back = min(held_back, count - 1)
    if held_back < 1:
        return spec, None
    return _some(spec, slice(None, count - held_back)), _some(spec, slice(count - held_back, None))


def _some(spec: Spec, tests: slice) -> Spec:
    """Return a specification with some of its tests."""
    if spec.kind != "asserts":
        update = {"inputs": spec.inputs[tests], "expected": spec.expected[tests]}
        return spec.model_copy(update=update)
    module = ast.parse(spec.tests)
    kept = _assertions(module, spec.bind)[tests]
    body = _check_body(module) if spec.bind else module.body
    body[:] = [node for node in body if not isinstance(node, ast.Assert) or node in kept]
    return spec.model_copy(update={"tests": ast.unparse(module)})


def _assertions(module: ast.Module, bind: str) -> list[ast.Assert]:
    body = _check_body(module) if bind else module.body
    kept = [node for node in body if not _idle(node)]
    if not all(isinstance(node, ast.Assert) for node in kept):
        raise _Inseparable
    return [node for node in kept if isinstance(node, ast.Assert) and not _trivial(node)]


def _check_body(module: ast.Module) -> list[ast.stmt]:
    """Return the body of `check`; the module may hold nothing else but constants."""
    checks = [node for node in module.body if isinstance(node, ast.FunctionDef)]
    constants = all(isinstance(n, (ast.FunctionDef, ast.Assign)) or _idle(n) for n in module.body)
    if len(checks) != 1 or checks[0].name != "check" or not constants:
        raise _Inseparable
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
            raise _Inseparable
        expected = _value(test.comparators[0])
        if isinstance(test.ops[0], ast.Is) and not isinstance(expected, (bool, type(None))):
            raise _Inseparable
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
        raise _Inseparable from None


def _expression(node: ast.expr, name: str) -> str:
    """Return a call of the program, perhaps inside conversions; refuse anything else."""
    inner = node
    while _calls(inner) in _CONVERSIONS and _calls(inner) != name:
        if not isinstance(inner, ast.Call) or not inner.args:
            raise _Inseparable
        inner = inner.args[0]
    if _calls(inner) != name:
        raise _Inseparable
    if sum(isinstance(n, ast.Name) and n.id == name for n in ast.walk(node)) != 1:
        raise _Inseparable
    if any(isinstance(part, (ast.Lambda, ast.NamedExpr, ast.Await)) for part in ast.walk(node)):
        raise _Inseparable
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
    """Return the test code with each assertion recorded, and the number of assertions."""
    module = ast.parse(spec.tests)
    count = sum(isinstance(node, ast.Assert) for node in ast.walk(module))
    code = ast.unparse(ast.fix_missing_locations(_Recorder().visit(module)))
    return (f"{code}\ncheck({spec.bind})\n" if spec.bind else code), count


def defined(program: str) -> list[str]:
    """Return the top-level functions and classes of a reference program, which is trusted."""
    try:
        body = ast.parse(program).body
    except SyntaxError:
        return []
    return [n.name for n in body if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
