"""The whole loop with the shipped tiny model, twice in two places: the same bytes come out.

The jobs of one run start from warm processes, those of the other one start cold.
"""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from restem.artifacts.schemas.loop import EXAMPLES, PROBLEMS, REWARDS
from restem.artifacts.tables import read_rows
from tests.conftest import once

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
STUDY = """
study: twice
tasks:
  chain:
    data: {source: {kind: embedded}, train: 48, validation: 16, test: 40, shots: 1}
  story:
    data: {source: {kind: embedded}, train: 0, validation: 0, test: 20, shots: 1}
  program:
    data: {source: {kind: embedded}, train: 0, validation: 0, test: 8, shots: 1}
models:
  S: {source: {kind: embedded, size: S}}
decodings:
  greedy: {draws: 1, temperature: 0, max_tokens: 96}
  explore: {draws: 8, temperature: 0.7, top_k: 40, max_tokens: 96}
variants:
  rest-em: {method: rest-em, task: chain, iterations: 2}
training: {learning_rate: 0.0004, epochs_max: 2, batch_size: 32}
evaluations:
  - {task: chain, split: test, decoding: greedy}
  - {task: story, split: test, decoding: greedy}
  - {task: chain, split: test, decoding: explore}
  - {task: program, split: test, decoding: greedy, iterations: last}
metrics: {ks: [1, 2, 4, 8]}
"""


@pytest.fixture(scope="module")
def trees(shared: Path) -> list[Path]:
    """Return the results of two runs in two places, made once for all workers of the tests."""
    with ThreadPoolExecutor() as pool:
        places = pool.map(lambda name: once(shared, name, run), ("twice-warm", "twice-cold"))
        return [place / "results/twice" for place in places]


def run(tree: Path) -> None:
    tree.mkdir()
    for name in ("Snakefile", "rules", "config", "profiles", "envs", "containers", "src"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, tree / name)
    (tree / "twice.yaml").write_text(STUDY)
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    environment |= {"PYTHONPATH": str(tree / "src"), "HF_HUB_OFFLINE": "1"}
    environment |= {"RESTEM_WARM": "no"} if tree.name == "twice-cold" else {}
    command = [str(BIN / "snakemake"), "--configfile", "twice.yaml", "--cores", "1"]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def _bytes(tree: Path, pattern: str) -> dict[str, bytes]:
    files = (path for path in sorted(tree.glob(pattern)) if path.is_file())
    return {str(path.relative_to(tree)): path.read_bytes() for path in files}


@pytest.mark.workflow
@pytest.mark.parametrize(
    "pattern",
    ["figures/*.pdf", "figures/*.svg", "figures/*.png", "table.md", "table.csv", "**/policy.json"],
)
def test_two_runs_write_the_same_bytes(trees: list[Path], pattern: str) -> None:
    first, second = (_bytes(tree, pattern) for tree in trees)
    assert first
    assert first == second


@pytest.mark.workflow
def test_every_count_closes(trees: list[Path]) -> None:
    train = trees[0] / "chain/problems/train.parquet"
    problems = {row["id"] for row in read_rows(train, PROBLEMS)}
    for examples in trees[0].glob("chain/S/rest-em/seed-0/iter-*/examples.parquet"):
        rows = read_rows(examples, EXAMPLES)
        assert len({(row["problem_id"], row["draw"]) for row in rows}) == len(rows) == 8 * 48
        assert {row["problem_id"] for row in rows} == problems
        assert all((row["target"] is not None) == (row["decision"] == "kept") for row in rows)


@pytest.mark.workflow
def test_no_test_problem_is_ever_trained_on(trees: list[Path]) -> None:
    test = {r["question"] for r in read_rows(trees[0] / "chain/problems/test.parquet", PROBLEMS)}
    for examples in trees[0].glob("chain/**/examples.parquet"):
        prompts = [row["prompt"] or "" for row in read_rows(examples, EXAMPLES)]
        assert not any(question in prompt for prompt in prompts for question in test)


@pytest.mark.workflow
def test_programs_are_judged_in_the_sandbox(trees: list[Path]) -> None:
    tables = list(trees[0].glob("**/program/test/**/rewards/*.parquet"))
    rows = [row for table in tables for row in read_rows(table, REWARDS)]
    assert len(rows) == 8 * len(tables) > 0
    assert {row["layer"] for row in rows} <= {"passed", "wrong answer", "runtime error"}


@pytest.mark.workflow
def test_results_are_labelled_as_an_embedded_model(trees: list[Path]) -> None:
    assert "embedded model" in (trees[0] / "table.md").read_text()
    for figure in trees[0].glob("figures/*.svg"):
        assert "embedded model" in figure.read_text()
