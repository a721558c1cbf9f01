"""Whatever a stage reads of this package is in its code digest: modules by name, and data files."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from restem.artifacts.digests import PACKAGE_ROOT, code_digests
from restem.config.base import Loads
from restem.embedded import weights
from restem.policies.sources.local import checkpoint_files
from restem.stages.declaration import Stage, load_stage, stage_names

MODULE = re.compile(r"restem(\.\w+)+")
PATTERN = re.compile(r"restem(\.\w+|\.\{\})*\.\{\}(\.\w+|\.\{\})*")  # {} is known at run time only
ENGINE = "restem.sampling.{}.engine"
DEFINES = {"restem.tasks.{}": "TASK", "restem.rewards.{}": "open_verifier"}  # what can be loaded
DECLARATION = "restem.stages.declaration"  # what it names is what the stages declare


def module_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE_ROOT.parent).with_suffix("")
    return ".".join(relative.parts).removesuffix(".__init__")


SOURCES = {module_of(path): path for path in sorted(PACKAGE_ROOT.rglob("*.py"))}


def names_in(source: str) -> set[str]:
    """Return the modules that strings name, with {} for what is filled in at run time.

    What `Loads` names is left out: it is loaded only if the settings say so. So are keys of
    mappings: they are the tags of runs.
    """
    return {n for n in _strings(ast.parse(source)) if PATTERN.fullmatch(n) or MODULE.fullmatch(n)}


def _strings(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "Loads":
        return
    if isinstance(node, ast.JoinedStr):
        yield "".join(p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield re.sub(r"\{\w*\}", "{}", node.value)
    keys = [*getattr(node, "keys", []), getattr(node, "key", None)]
    for child in ast.iter_child_nodes(node):
        if child not in keys:
            yield from _strings(child)


@cache
def names_of(module: str) -> frozenset[str]:
    """Return the modules of this package that a module names in strings."""
    if module == DECLARATION or module not in SOURCES:
        return frozenset()
    names = names_in(SOURCES[module].read_text("utf-8"))
    return frozenset(name for name in names if "{}" in name or name in SOURCES)


def matches(pattern: str) -> list[str]:
    """List the modules that a name stands for."""
    expression = re.compile(re.escape(pattern).replace(r"\{\}", r"\w+"))
    return [module for module in SOURCES if expression.fullmatch(module)]


def loadable(pattern: str) -> list[str]:
    """List the modules that a setting may name; rooms have others beside them."""
    defined = re.compile(rf"^(def )?{DEFINES.get(pattern, '')}\b", re.MULTILINE)
    return [m for m in matches(pattern) if defined.search(SOURCES[m].read_text("utf-8"))]


def declared(stage: Stage) -> set[str]:
    """Return the names that a stage's declaration says it loads, with {} as above."""
    marks = (
        mark for field in stage.settings_model.model_fields.values() for mark in field.metadata
    )
    loaded = {re.sub(r"\{\w*\}", "{}", mark.module) for mark in marks if isinstance(mark, Loads)}
    return loaded | ({ENGINE} if stage.engine else set())


def uncovered(stage: Stage) -> set[tuple[str, str]]:
    """Return (module, name in it) of what a stage may load, but neither imports nor declares."""
    known, found = declared(stage), set()
    own = f"restem.stages.{stage.name}"
    loaded = [module for pattern in sorted(known) for module in loadable(pattern)]
    for modules in [[own], *([own, module] for module in loaded)]:
        closure = code_digests(modules)
        for module in closure:
            for name in names_of(module) - known:
                covered = any(name in matches(pattern) for pattern in known)
                if not covered and not set(matches(name)) <= closure.keys():
                    found.add((module, name))
    return found


@pytest.mark.parametrize("name", stage_names())
def test_modules_that_are_named_by_a_string_are_imported_or_declared(name: str) -> None:
    """Import the module, under TYPE_CHECKING if need be, or mark the setting with `Loads`."""
    assert uncovered(load_stage(name)) == set()


def read_by(name: str) -> set[str]:
    """Return the modules of a stage's code, whatever its settings name."""
    stage = load_stage(name)
    loaded = [module for pattern in sorted(declared(stage)) for module in loadable(pattern)]
    return set(code_digests([f"restem.stages.{name}", *loaded]))


@pytest.mark.parametrize("name", ["problems", "samples", "rewards", "policy", "metrics"])
def test_a_new_key_of_selection_leaves_other_artifacts_as_they_are(name: str) -> None:
    assert {"restem.config.selection", "restem.config.method"} & read_by(name) == set()


@pytest.mark.parametrize("name", ["problems", "samples", "rewards", "examples", "policy"])
def test_what_estimates_and_errors_say_leaves_the_loop_as_it_is(name: str) -> None:
    """A new column of the ledger, a renamed key or a reserved name needs no GPU."""
    schemas = {f"restem.artifacts.schemas.{part}" for part in ("evaluation", "estimates", "every")}
    texts = {"restem.config.errors", "restem.config.names"}
    assert (schemas | texts) & read_by(name) == set()


def test_the_names_of_modules_are_found() -> None:
    source = (
        "MODULE = 'restem.answers.symbolic'\n"
        "run([python, '-m', 'restem.cli', f'restem.{x}'])\n"
        "import_module(f'restem.tasks.{name}')\n"
        "import_module('restem.sampling.{}.engine'.format(name))\n"
        "setting: Annotated[str, Loads('restem.figures.{}')]\n"
        "'of restem.errors', {'restem.study': 1}, {f'restem.study.{n}': n for n in names}\n"
    )
    assert names_in(source) == {
        "restem.answers.symbolic", "restem.cli", "restem.{}", "restem.tasks.{}", ENGINE,
    }  # fmt: skip
    assert "restem.answers.symbolic" in names_of("restem.rewards.math")
    assert ENGINE in names_of("restem.sampling.loading")


# ---- data files ----


def data_files() -> list[Path]:
    """List the files of this package that are no code; py.typed is a mark without content."""
    files = (path for path in PACKAGE_ROOT.rglob("*") if path.is_file())
    mine = (path for path in files if path.parent.name != "__pycache__")
    return [path for path in mine if path.suffix != ".py" and path.name != "py.typed"]


def test_data_files_are_inputs_of_a_stage_or_in_the_code_of_who_names_them() -> None:
    sizes = weights.sizes()
    inputs = {file for size in sizes for file in checkpoint_files(weights.HERE / size)}
    records = {weights.HERE / size / weights.RECIPE for size in sizes}  # no stage reads how
    named = {PACKAGE_ROOT.parent / name for name in code_digests(SOURCES) if "/" in name}
    assert set(data_files()) - inputs - records - named == set()
