"""The canonical form of code is one for every Python, and differs where the meaning does."""

import ast
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restem.artifacts import syntax
from restem.artifacts.digests import PACKAGE_ROOT
from restem.artifacts.syntax import canonical_syntax

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
SOURCES = sorted(PACKAGE_ROOT.rglob("*.py"))
SPARSE = 97  # of a whole module, one edit in so many is tried
SPARSE = 97  # of a whole module, one edit in so many is tried

SNIPPETS = [
    "f'a{x}b'",
    "f'{x!r:>{w}.{p}}'",
    "f'{x:}' f''",
    "'a' f'{x}' 'b' f'{y}c' 'd'",
    "f'{x=} {y = !s:>5}'",
    "f'{{}}{x}{{' 'e}'",
    "f'{x:{a}b{c!r}d}' f'{x:%H:%M}'",
    "f'{f\"{y:{z}}\"}'",
    "rf'\\d{x}\\n' f'\\n{x}\\N{BULLET}'",
    "f'''a\n{x}\n b'''",
    "a = u'a', b'\\xff', 1e309, -0.0, 1j, ..., 0xFFFFFFFFFFFFFFFFFFFFFFFF, True, None, 0.1",
    "'\\ud800\\U0001FAE8\\u0378'",
    "def f(a, /, b=1, *c, d=2, e, **k) -> int:\n    'doc'",
    "class A(B, metaclass=C):\n    'doc'\n\n    'second'",
    "@a.b(1)\nasync def f():\n    async with a as b, c:\n        return [i async for i in await x]",
    "def f():\n    global x\n    def g():\n        nonlocal y\n        yield from z",
    "(y := f(*x, **z))",
    "match x:\n    case {'a': 1, **r} if r: pass\n    case [1, *_] | None: pass",
    "match x:\n    case A(1, b=-1): pass\n    case a.b as c: pass",
    "{**a, 'b': 1}, {c for d in e if f}, [*g], {}",
    "a[1:2, ..., *b], a[::c], lambda *, a=1, b: a if b else c",
    "try:\n    a\nexcept* E as e:\n    raise A from e\nelse:\n    del a, b[0]\nfinally:\n    c",
    "x: int\n(y): int = 1\nx.z @= 2",
    "from . import a\nfrom ..b import c as d\nimport e.f as g, h",
    "with (a as b, c as d):\n    assert a, 'no'",
    "for a, *b in c:\n    continue\nelse:\n    break",
    "a < b <= c != d is not e not in f and not g or ~h",
]  # fmt: skip
RECORDED = "704d2543f7da6bab0be40cbd8053db72c2921ac12a0c9865257a736e062c748e"


def of(source: str) -> str:
    return canonical_syntax(ast.parse(source))


def digest_of(source: str) -> str:
    return hashlib.sha256(of(source).encode()).hexdigest()


def test_every_python_gives_the_recorded_digests() -> None:
    assert digest_of("\n".join(SNIPPETS)) == RECORDED


def digests_by(python: str, sources: list[str]) -> list[str]:
    """Let another Python compute the digests of some sources."""
    program = (
        "import ast, hashlib, json, runpy, sys\n"
        "write = runpy.run_path(sys.argv[1])['canonical_syntax']\n"
        "texts = [write(ast.parse(source)) for source in json.load(sys.stdin)]\n"
        "print(json.dumps([hashlib.sha256(text.encode()).hexdigest() for text in texts]))\n"
    )
    done = subprocess.run(
        [python, "-W", "ignore", "-c", program, str(syntax.__file__)],
        input=json.dumps(sources), capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    digests: list[str] = json.loads(done.stdout)
    return digests


def installed(version: str) -> str | None:
    """Return a Python of a version that runs; those of pyenv need not be on PATH."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))
    for python in (shutil.which(f"python{version}"), *found):
        if python and not subprocess.run([python, "--version"], capture_output=True).returncode:
            return python
    return None


@pytest.mark.parametrize("version", VERSIONS)
def test_other_pythons_on_this_machine_agree_on_all_code(version: str) -> None:
    python = installed(version)
    if python is None:
        pytest.skip(f"needs Python {version}")
    sources = [*SNIPPETS, *(path.read_text("utf-8") for path in SOURCES)]
    assert digests_by(python, sources) == [digest_of(source) for source in sources]


# ---- what does not count, and what does ----

code = st.sampled_from(SNIPPETS) | st.sampled_from(SOURCES).map(
    lambda path: path.read_text("utf-8")
)


@settings(deadline=None)
@given(code)
def test_formatting_does_not_count(source: str) -> None:
    assert of(ast.unparse(ast.parse(source))) == of(source)


def test_pieces_of_an_f_string_do_not_count() -> None:
    assert of("f'a' 'b' f'{x:}c'") == of("'ab' f'{x}' 'c'") == of("f'''ab{x}c'''")


def docstrings(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                yield id(node.body[0].value)  # type: ignore[attr-defined]


def edits(tree: ast.AST) -> Iterator[tuple[ast.AST, str, object]]:
    """Yield every change of one constant, name or operator: node, field, new value."""
    skipped = set(docstrings(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in skipped:
            yield node, "value", f"{node.value!r}+"
            if isinstance(node.value, int | float | complex):
                yield node, "value", -node.value - 1
                yield node, "value", str(node.value)
        for field, value in ast.iter_fields(node):
            if field in ("id", "name", "attr", "arg", "module", "asname", "rest"):
                yield node, field, f"{value}_"
            elif isinstance(value, ast.operator | ast.unaryop | ast.boolop):
                other = {ast.Add: ast.Sub, ast.USub: ast.UAdd, ast.And: ast.Or}
                default: Callable[[], ast.AST] = ast.Add
                if isinstance(value, ast.unaryop):
                    default = ast.USub
                if isinstance(value, ast.boolop):
                    default = ast.And
                yield node, field, other.get(type(value), default)()
        if isinstance(node, ast.Compare):
            new = [ast.Eq() if isinstance(op, ast.Gt) else ast.Gt() for op in node.ops]
            yield node, "ops", new


@settings(deadline=None)
@given(code)
def test_every_constant_name_and_operator_counts(source: str) -> None:
    tree = ast.parse(source)
    before = canonical_syntax(tree)
    for node, field, value in list(edits(tree))[:: SPARSE if len(source) > 1000 else 1]:
        old = getattr(node, field)
        setattr(node, field, value)
        assert canonical_syntax(tree) != before, (ast.dump(node), field, old)
        setattr(node, field, old)


DIFFERENT = [
    ("f'{x}'", "f'{x!r}'"),
    ("f'{x:1}'", "f'{x:2}'"),
    ("f'{x}'", "'{x}'"),
    ("'a'", "b'a'"),
    ("1", "True"),
    ("1", "1.0"),
    ("0.0", "-0.0"),
    ("return_(None)", "return_()"),
    ("def f():\n    return", "def f():\n    return None"),
    ("{**a}", "{a: a}"),
    ("def f(*, a, b=1): pass", "def f(*, a=1, b): pass"),
    ("from a import b", "from .a import b"),
    ("async def f(): pass", "def f(): pass"),
    ("[a, b]", "(a, b)"),
    ("f(a, b)", "f(a)(b)"),
    ("try:\n    a\nexcept B:\n    c", "try:\n    a\nexcept* B:\n    c"),
    ("if a:\n    b\nc", "if a:\n    b\n    c"),
    ("if a:\n    b\nelse:\n    c", "if a:\n    b\nc"),
    ("x: int", "x: int = None"),
    ("[a async for a in b]", "[a for a in b]"),
    ("global a", "nonlocal_(a)"),
    ("a[1]", "a[1,]"),
    ("a[1:]", "a[:1]"),
    ("match a:\n    case None: b", "match a:\n    case True: b"),
    ("'a'\n'b'", "'a'\n'c'"),
]


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_different_code_has_different_forms(left: str, right: str) -> None:
    assert of(left) != of(right)
