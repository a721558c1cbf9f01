"""`restem power` reads a pilot and says what a larger study could decide."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from restem.artifacts.schemas.evaluation import METRICS
from restem.artifacts.tables import table, write_table
from restem.cli import cli
from restem.config.load import load_study
from restem.errors import RestemError
from restem.study.graph import StudyGraph
from restem.tools.power import Plan, markdown, rows_of

CONFIG = Path(__file__).parents[3] / "config"
STUDY: dict[str, Any] = {
    "study": "pilot",
    "seeds": [0, 1, 2],
    "experiments": ["F2"],
    "tasks": {
        name: {"module": module, "human": "careful", "data": {"source": {"kind": "embedded"}}}
        for name, module in (("math", "chain"), ("gsm8k", "story"))
    },
    "models": {name: {"source": {"kind": "embedded", "size": name}} for name in "SL"},
    "decodings": {
        "greedy": {"draws": 1, "temperature": 0, "max_tokens": 96},
        "explore": {"draws": 4, "temperature": 0.7, "max_tokens": 96},
    },
    "metrics": {"ks": [1], "resamples": 200},
}


def graph_of(**changes: Any) -> StudyGraph:
    claims = [
        {"id": "gain", "says": "It gains.", "where": "here", "task": "math",
         "tests": [{"plus": ["S/rest-em/last"], "minus": ["S/base"]}]},
        {"id": "scale", "says": "L gains more.", "where": "here", "task": "math",
         "tests": [{"plus": ["L/rest-em/last", "S/base"], "minus": ["L/base", "S/rest-em/last"]}]},
        {"id": "elsewhere", "says": "Not run.", "where": "here", "task": "gsm8k",
         "tests": [{"plus": ["S/rest-em/last"], "minus": ["S/base"]}]},
    ]  # fmt: skip
    return StudyGraph(load_study({**STUDY, "claims": claims, **changes}, CONFIG))


def write_metrics(graph: StudyGraph, results: Path, gain: float = 0.1) -> None:
    """Write results on math, in which S gains and L gains as much."""
    skill = np.random.default_rng(0).random(200)
    for draws in graph.evaluations():
        if draws.task != "math":
            continue
        policy = draws.policy
        place = [policy.seed, policy.iteration, len(policy.variant), ord(policy.model)]
        rng = np.random.default_rng(place)
        level = 0.4 + gain * policy.iteration / 3 + 0.02 * rng.normal() * (policy.variant != "base")
        rows = [
            {"task": "math", "split": draws.split, "model": policy.model, "seed": policy.seed}
            | {"variant": policy.variant, "iteration": policy.iteration, "decoding": "greedy"}
            | {"greedy": True, "problem_id": f"p{i}", "subject": "", "draws": 1}
            | {"correct": int(share < level + 0.1 * rng.normal())}
            | {"unextractable": 0, "completion_tokens_mean": 1.0}
            for i, share in enumerate(skill)
        ]
        write_table(results / draws.path / "metrics.parquet", METRICS, table(METRICS, rows), {})


def test_every_claim_has_the_effect_that_it_could_decide(tmp_path: Path) -> None:
    graph = graph_of()
    write_metrics(graph, tmp_path)
    gain, scale, elsewhere = rows_of(graph, tmp_path, Plan())
    assert (gain.claim, gain.problems, gain.seeds) == ("gain", 200, 3)
    assert gain.effect == pytest.approx(0.1, abs=0.04)
    assert 0 < gain.smallest < scale.smallest
    assert scale.power < 0.8
    assert scale.flagged
    assert elsewhere.reason == "no results of S/rest-em/last on gsm8k test"
    text = markdown([gain, scale, elsewhere], Plan(), "pilot")
    assert "| scale |" in text
    assert "| elsewhere |" in text


def test_a_larger_plan_decides_more(tmp_path: Path) -> None:
    graph = graph_of()
    write_metrics(graph, tmp_path)
    small = rows_of(graph, tmp_path, Plan())[0]
    large = rows_of(graph, tmp_path, Plan(problems=2000, seeds=6))[0]
    assert large.smallest < small.smallest
    assert (large.problems, large.seeds) == (2000, 6)


def test_a_pilot_of_one_seed_assumes_the_variation_between_trainings(tmp_path: Path) -> None:
    graph = graph_of(seeds=[0])
    write_metrics(graph, tmp_path)
    calm, wild = (rows_of(graph, tmp_path, Plan(seeds=3, seed_sd=sd))[0] for sd in (0.0, 0.05))
    assert calm.assumed
    assert calm.smallest < wild.smallest
    assert "assumed" in markdown([calm], Plan(seeds=3), "pilot")


def test_a_plan_of_one_seed_decides_nothing(tmp_path: Path) -> None:
    graph = graph_of(seeds=[0])
    write_metrics(graph, tmp_path)
    row = rows_of(graph, tmp_path, Plan())[0]
    assert (row.power, row.smallest) == (0.0, float("inf"))


def test_without_a_pilot_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(RestemError, match="no results"):
        rows_of(graph_of(), tmp_path, Plan())


def test_the_command_reads_the_results_of_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(CONFIG, tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["power", "--configfile", "config/paper/mini.yaml"])
    assert isinstance(result.exception, RestemError)
    assert "results/paper-mini" in str(result.exception)
