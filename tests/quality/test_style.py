"""The checks that a reviewer would run by hand: each tool must have nothing to say."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

CHECKS = {
    "ruff": ["ruff", "check", "src", "tests", "benchmarks", "envs"],
    "types": ["mypy"],
    "import contracts": ["lint-imports"],
    "snakefmt": ["snakefmt", "--check", "Snakefile", "rules"],
    "snakemake lint": ["snakemake", "--lint"],
}


@pytest.mark.parametrize("name", CHECKS)
def test_nothing_to_complain(name: str) -> None:
    command = [str(BIN / CHECKS[name][0]), *CHECKS[name][1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_files_stay_readable() -> None:
    sources = [*ROOT.glob("src/**/*.py"), *ROOT.glob("rules/*.smk"), ROOT / "Snakefile"]
    long = {str(p): n for p in sources if (n := len(p.read_text().splitlines())) > 420}
    assert not long


def test_what_tests_import_from_each_other_is_there() -> None:
    """`make check` runs only some of the tests, and mypy does not read them."""
    trees = {path: ast.parse(path.read_text()) for path in (ROOT / "tests").rglob("*.py")}
    defined = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): {
            getattr(node, "name", getattr(node, "id", "")) for node in ast.walk(tree)
        }
        for path, tree in trees.items()
    }
    imports = [
        (path, node.module, alias.name)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tests.")
        for alias in node.names
    ]
    assert len(imports) > 50
    missing = [
        f"{path}: {name} of {module}"
        for path, module, name in imports
        if name not in defined.get(module, ()) and f"{module}.{name}" not in defined
    ]
    assert missing == []


def test_locks_agree_on_every_version() -> None:
    pins: dict[str, set[str]] = {}
    # vLLM's GPU build leads an environment of its own; its CPU build could share the common one.
    for lock in (path for path in (ROOT / "envs").glob("*.txt") if path.stem != "vllm"):
        for line in lock.read_text().splitlines():
            if "==" in line:
                name, version = line.split("==")
                pins.setdefault(name, set()).add(version)
    assert {name: found for name, found in pins.items() if len(found) > 1} == {}


def test_what_torch_needs_on_gpus_is_locked_as_its_cuda_build_wants_it() -> None:
    """Both are resolved with that build, which asks for exact versions."""
    cuda, vllm = (
        dict(line.split("==") for line in (ROOT / "envs" / f"{name}.txt").read_text().split()
             if "==" in line)
        for name in ("cuda", "vllm")
    )  # fmt: skip
    assert {"nvidia-cudnn-cu13", "nvidia-cublas", "nvidia-nccl-cu13", "triton"} <= cuda.keys()
    exact = {name: version for name, version in cuda.items() if not name.startswith("cuda-bind")}
    assert {name: vllm.get(name) for name in exact} == exact


def test_no_lock_is_edited_by_hand() -> None:
    for stated in (ROOT / "envs").glob("*.in"):
        lines = [line.split("#")[0].strip() for line in stated.read_text().splitlines()]
        lock = stated.with_suffix(".txt").read_text().lower().replace("_", "-")
        for line in filter(None, lines):
            name = line.split("=")[0].split(">")[0].split("<")[0].lower().replace("_", "-")
            assert f"\n{name}==" in lock, f"{name} of {stated.name} is not locked"
