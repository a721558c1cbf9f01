"""A tiny study on the real rules: run once, then copied for every test.

The model is a random Llama of two layers, so that a job costs little more than its imports. A
random model solves nothing: ReST-EM halts, and SFT is the variant with trained policies.
"""

import compileall
import copy
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from restem.artifacts.digests import code_digests
from restem.stages.declaration import stage_names
from tests.conftest import once
from tests.workflow.plans import DryRun, dry_run

REPOSITORY = Path(__file__).parents[2]
NEEDED = (
    "Snakefile",
    "rules",
    "config",
    "profiles",
    "envs",
    "containers",
    "src",
    "slurm",
    "pyproject.toml",
)
BINARIES = Path(sys.executable).parent
SEED = 20240615
KILLS = 3

STUDY: dict[str, Any] = {
    "study": "tiny",
    "description": "A study that costs seconds.",
    "seeds": [0],
    "tasks": {
        "chain": {
            "data": {
                "source": {"kind": "embedded", "pool": 20},
                "train": 4,
                "validation": 2,
                "test": 3,
                "shots": 1,
            }
        }
    },
    "models": {
        "T": {
            "source": {"kind": "local", "directory": "models/T"},
            "engine": {"name": "transformers"},  # with profiles that give jobs a GPU, too
        }
    },
    "decodings": {
        "greedy": {"draws": 1, "temperature": 0, "max_tokens": 6},
        "explore": {"draws": 2, "temperature": 0.7, "top_k": 40, "max_tokens": 6},
    },
    "methods": {"sft-terse": {"selection": {"model_data": False, "human": "terse"}}},
    "variants": {
        "sft-terse": {"method": "sft-terse", "task": "chain", "reference": True},
        "rest-em": {"method": "rest-em", "task": "chain", "iterations": 2},
    },
    "training": {
        "learning_rate": 0.001,
        "epochs_max": 1,
        "batch_size": 4,
        "validations": 1,
    },
    "evaluations": [{"task": "chain", "split": "test", "decoding": "greedy"}],
    "metrics": {"ks": [1, 2], "resamples": 100},
    "figures": ["accuracy_by_iteration"],
    "tracking": {"enabled": False},
}

MODEL = """
import sys, torch
from transformers import LlamaConfig, LlamaForCausalLM
from restem.embedded.tokenizer import build_tokenizer
tokenizer = build_tokenizer()
torch.manual_seed(0)
shape = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
shape |= dict(num_key_value_heads=2, head_dim=8, max_position_embeddings=512)
special = dict(bos_token_id=1, eos_token_id=2, pad_token_id=0, tie_word_embeddings=True)
model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape, **special))
model.save_pretrained(sys.argv[1])
tokenizer.save_pretrained(sys.argv[1])
"""


class Job(NamedTuple):
    """One job of a plan, known by its rule and its first output."""

    rule: str
    output: str


@dataclass
class Plan:
    """What a dry run would do: the inputs, outputs and reasons of every job."""

    inputs: dict[Job, set[str]] = field(default_factory=dict)
    outputs: dict[Job, set[str]] = field(default_factory=dict)
    reasons: dict[Job, str] = field(default_factory=dict)

    @property
    def jobs(self) -> set[Job]:
        return set(self.inputs)

    @property
    def rules(self) -> set[str]:
        return {job.rule for job in self.inputs}

    def of(self, rules: Collection[str], within: str = "") -> set[Job]:
        """Return the jobs of some rules, of which an output's path contains some text."""
        return {job for job in self.jobs if job.rule in rules and within in job.output}

    def below(self, first: Collection[Job]) -> set[Job]:
        """Return some jobs and all that depends on them."""
        found, waiting = set(first), list(first)
        while waiting:
            made = self.outputs[waiting.pop()]
            new = {job for job in self.jobs - found if made & self.inputs[job]}
            found |= new
            waiting += new
        return found


def parse(text: str) -> Plan:
    """Read the jobs that have outputs from what a dry run prints."""
    plan = Plan()
    for rule, body in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)+)", text, re.MULTILINE):
        said = dict(re.findall(r"^    (\w+): (.*)$", body, re.MULTILINE))
        if "output" not in said:
            continue
        outputs = said["output"].split(", ")
        job = Job(rule, outputs[0])
        plan.inputs[job] = set(said["input"].split(", ")) if "input" in said else set()
        plan.outputs[job] = set(outputs)
        plan.reasons[job] = said["reason"]
    return plan


class Tree:
    """A copy of the repository with a study in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.results = root / "results" / "tiny"
        self.variables: dict[str, str] = {}

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("RESTEM_", "SNAKEMAKE_"))}
        path = f"{BINARIES}{os.pathsep}{os.environ['PATH']}"
        ours = {"PATH": path, "PYTHONPATH": str(self.root / "src"), "HF_HUB_OFFLINE": "1"}
        return {**kept, **ours, "PYTHONDONTWRITEBYTECODE": "1", **self.variables}

    def command(self, *arguments: str) -> list[str]:
        return [str(BINARIES / "snakemake"), *arguments, "--configfile", "study.yaml"]

    def snakemake(self, *arguments: str, fails: bool = False) -> str:
        """Run Snakemake to its end, and return all that it printed."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1800,  # on a busy machine, in images
        )
        assert (done.returncode != 0) == fails, done.stdout[-6000:]
        return done.stdout

    def make(self, *targets: str) -> str:
        """Make some targets for real; the whole study where none is named."""
        return self.snakemake("--cores", "2", *targets)

    def make_with_store(self, store: Path) -> str:
        """Make the whole study with a shared store."""
        self.variables = {"RESTEM_STORE": str(store)}
        try:
            return self.make()
        finally:
            self.variables = {}

    def dry_run(self, *arguments: str) -> DryRun:
        """Do what `snakemake -n` does, without the start of a process."""
        return dry_run(self.root, self.environment, arguments)

    def plan(self, *arguments: str) -> Plan:
        """Return what a run would do."""
        done = self.dry_run(*arguments, "--configfile", "study.yaml")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return parse(done.stdout)

    def whole(self) -> Plan:
        """Return every job of the study, stale or not."""
        return self.plan("-F")

    def restem(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the command line on this tree's code."""
        command = [sys.executable, "-c", "from restem.cli import main; main()", *arguments]
        return subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True
        )

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start Snakemake in a process group of its own."""
        with (self.root / "started.log").open("ab") as log:
            return subprocess.Popen(
                self.command(*arguments),
                cwd=self.root,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def configure(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the study's YAML."""
        study = copy.deepcopy(STUDY)
        change(study)
        (self.root / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text that stands once in a file."""
        text = (self.root / name).read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        (self.root / name).write_text(text.replace(old, new))

    def copy(self, to: Path) -> "Tree":
        """Copy the tree with times, links and the hard links inside it, sharing nothing."""
        subprocess.run(["cp", "-a", str(self.root), str(to)], check=True)
        return Tree(to)


def plant(root: Path) -> Tree:
    """Copy what a clone has of the working tree, and add the tiny model and study."""
    root.mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.sif", ".build-*")
    for name in NEEDED:
        source, target = REPOSITORY / name, root / name
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.is_dir():
            shutil.copytree(source, target, ignore=ignored)
        else:
            shutil.copy2(source, target)
    compileall.compile_dir(root / "src", quiet=1)  # else each start of a copy compiles it again,
    code_digests((f"restem.stages.{name}" for name in stage_names()), root / "src/restem")  # parses
    tree = Tree(root)
    tree.configure(lambda study: None)
    command = [sys.executable, "-c", MODEL, "models/T"]
    made = subprocess.run(command, cwd=root, env=tree.environment, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return tree


@pytest.fixture(scope="session")
def planted(shared: Path) -> Tree:
    """Return a tree in which nothing was run; it is to be copied."""
    return Tree(once(shared, "planted", plant))


@pytest.fixture(scope="session")
def finished(shared: Path, planted: Tree) -> Tree:
    """Return a tree with the finished study; it is to be copied or looked at."""

    def run(root: Path) -> None:
        tree = planted.copy(root)
        started = time.monotonic()
        (root / "first.log").write_text(tree.make())
        (root / "seconds").write_text(str(time.monotonic() - started))

    return Tree(once(shared, "finished", run))


def _is_alive(group: int) -> bool:
    """Tell whether a process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="session")
def killed(shared: Path, planted: Tree, finished: Tree) -> Path:
    """Return trees of a run that was killed again and again: after each kill, and at the end."""

    def run(folder: Path) -> None:
        folder.mkdir()
        tree, chance = planted.copy(folder / "resumed"), random.Random(SEED)
        length = float((finished.root / "seconds").read_text())
        for number in range(KILLS):
            process = tree.start("--cores", "2")
            while not list(tree.results.rglob("*.seal.json")):  # a kill before that shows nothing
                time.sleep(0.1)
            time.sleep(chance.uniform(0.0, 0.3) * length)
            os.kill(process.pid, signal.SIGKILL)  # jobs that it started go on as orphans
            process.wait()
            if number % 2 == 0:  # the others are still at work when the next run begins
                while _is_alive(process.pid):
                    time.sleep(0.2)
                tree.copy(folder / f"killed-{number}")
            tree.snakemake("--unlock")
        tree.make()

    return once(shared, "killed", run)


@pytest.fixture(scope="session")
def whole(finished: Tree) -> Plan:
    """Return every job of the finished study."""
    return finished.whole()


@pytest.fixture
def fresh(planted: Tree, tmp_path: Path) -> Tree:
    """Return a tree of one's own in which nothing was run."""
    return planted.copy(tmp_path / "tree")


@pytest.fixture
def tree(finished: Tree, tmp_path: Path) -> Iterator[Tree]:
    """Return a tree of one's own with the finished study."""
    yield finished.copy(tmp_path / "tree")
    shutil.rmtree(tmp_path / "tree")


@pytest.fixture
def end_group() -> Iterator[Callable[["subprocess.Popen[bytes]"], None]]:
    """End whatever the started processes left behind."""
    started: list[subprocess.Popen[bytes]] = []
    yield started.append
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
