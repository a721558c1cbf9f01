"""A forecast counts what a study samples and trains on, each artifact once."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from restem.accounts.costs import Cost, total
from restem.accounts.forecast import Assumptions, Forecast, markdown
from restem.cli import cli
from restem.config.load import load_study, read_yaml
from restem.config.study import Study
from restem.errors import RestemError
from restem.pages.ledger import amount
from restem.study.graph import StudyGraph
from tests.unit.study.test_graph import STUDY

PARAMETERS = {"S": 1000.0, "L": 5000.0}
CONFIG = Path(__file__).parents[3] / "config"


def graph(**changes: Any) -> StudyGraph:
    config = copy.deepcopy(STUDY)
    for task in config["tasks"].values():
        task["data"] |= {"source": {"kind": "embedded", "pool": 20}, "validation": 4, "shots": 1}
    return StudyGraph(Study.model_validate({**config, **changes}))


def only(method: dict[str, Any], **changes: Any) -> StudyGraph:
    """Return a study with one method on one model, seed and task; only L is evaluated."""
    variants = {"v": {"method": "m", "task": "chain", "models": ["S"]}}
    other = {"task": "story", "split": "test", "decoding": "greedy", "models": ["L"]}
    methods = {"m": method}
    return graph(methods=methods, variants=variants, evaluations=[other], seeds=[0], **changes)


def costs(study: StudyGraph, **assumptions: float) -> dict[str, Cost]:
    """Return the cost of S by kind of work."""
    rows = Forecast(study, PARAMETERS, replace(Assumptions(), **assumptions)).rows()
    return {row.work: row.cost for row in rows if row.model == "S"}


SAMPLED: dict[str, Any] = {"e_step": {"decoding": "explore"}}


def test_draws_cost_each_prompt_once_and_every_completion() -> None:
    cost = costs(only(SAMPLED), length=0.5)["draws for the E-step"]
    assert cost.draws == 4 * 4  # problems x draws
    assert cost.generated_tokens == 16 * 4  # half of 8 tokens
    assert cost.cached_tokens == pytest.approx(3 * cost.prompt_tokens, abs=3)
    assert cost.flops == 2 * 1000 * (cost.prompt_tokens + cost.generated_tokens)


def test_gpu_time_is_operations_over_the_speed_that_a_gpu_reaches() -> None:
    slow = costs(only(SAMPLED), peak=1e6, sampling=0.5, training=0.25)
    assert slow["draws for the E-step"].gpu_seconds == slow["draws for the E-step"].flops / 5e5
    assert slow["training"].gpu_seconds == slow["training"].flops / 2.5e5


def test_shared_artifacts_count_once() -> None:
    variants = {
        name: {"method": "rest-em", "task": "chain", "models": ["S"], "iterations": count}
        for name, count in (("two", 2), ("three", 3))
    }
    assert costs(graph(variants=variants)) == costs(graph(variants={"three": variants["three"]}))


def test_examples_are_those_that_are_solved_up_to_the_cap() -> None:
    examples = [
        Forecast(study, PARAMETERS, Assumptions(solved=0.5)).examples(study.trained[0])
        for study in (
            only(SAMPLED),
            only({**SAMPLED, "selection": {"cap": 1}}),
            only({**SAMPLED, "selection": {"threshold": None}}),
            only({**SAMPLED, "selection": {"problems": 3}}),
            only({**SAMPLED, "selection": {"human": "terse"}}),
            only({**SAMPLED, "selection": {"times": 3}}),
            only({"selection": {"model_data": False, "human": "terse"}}),
        )
    ]
    assert examples == [8, 4, 16, 6, 12, 24, 4]


def test_training_ends_with_its_epochs_or_its_steps() -> None:
    layout = {"batch_size": 8, "epochs_max": 3, "layout": "padded"}
    whole = costs(only(SAMPLED, training=layout))["training"]
    steps = costs(only(SAMPLED, training={**layout, "steps": 6}))["training"]
    tree = costs(only(SAMPLED, training={**layout, "layout": "tree"}))["training"]
    grown = {**SAMPLED, "steps": {"first": 6}, "iterations": 1}
    assert steps.trained_tokens == pytest.approx(2 * whole.trained_tokens, abs=1)
    assert costs(only(grown, training=layout))["training"] == steps
    assert tree.trained_tokens < whole.trained_tokens / 2  # the few-shot prompt once a step
    assert whole.flops == 6 * 1000 * whole.trained_tokens


def test_methods_without_fine_tuning_train_no_token_and_prompts_are_validated() -> None:
    shots = costs(only({**SAMPLED, "m_step": {"kind": "shots", "shots": 2}}))
    prompt = costs(only({**SAMPLED, "m_step": {"kind": "prompt", "shots": 2, "candidates": 5}}))
    assert shots["training"] == prompt["training"] == Cost()
    assert shots["validation in training"].draws == 0
    assert prompt["validation in training"].draws > 0


def test_processes_share_the_moments_and_adapters_need_the_weights_alone() -> None:
    def models(engine: Any) -> dict[str, Any]:
        return STUDY["models"] | {"S": {**STUDY["models"]["S"], "engine": engine}}

    def memory(engine: Any = None, **training: Any) -> dict[str, float]:
        study = only(SAMPLED, training=training, models=models(engine or {}))
        return Forecast(study, PARAMETERS, Assumptions()).memory()

    assert memory() == {"S": 16 * 1000}
    assert memory(processes=4) == {"S": 10 * 1000}
    assert memory(processes=4, shard="weights") == {"S": 4 * 1000}
    assert memory(lora={"rank": 4}) == {"S": 4 * 1000}
    assert memory(lora={"rank": 4}, processes=4, shard="weights") == {"S": 1000}
    # A validation may use the room of the gradients; adapters have nearly none.
    assert memory({"dtype": "bfloat16"}) == memory()
    assert memory({"dtype": "bfloat16"}, lora={"rank": 4}) == {"S": 6 * 1000}
    never: Any = {"validations": 0, "stop": "epochs"}
    assert memory({"dtype": "bfloat16"}, lora={"rank": 4}, **never) == {"S": 4 * 1000}
    untrained = only({**SAMPLED, "m_step": {"kind": "shots", "shots": 2}})
    assert Forecast(untrained, PARAMETERS, Assumptions()).memory() == {}


def test_a_search_costs_its_continuations_and_rollouts() -> None:
    search = {"beams": 2, "expansions": 3, "rollouts": 4, "step_tokens": 2}
    cost = costs(only({"e_step": {"decoding": "explore", "search": search}}), length=0.5)
    # 2 steps of 2 tokens each make the 4 tokens of a completion; half of it is rolled out
    assert cost["draws for the E-step"].generated_tokens == 4 * (2 * 2 * 3) * (2 + 4 * 2)


def test_the_demo_has_a_forecast_whose_last_line_adds_up() -> None:
    study = StudyGraph(load_study(read_yaml(CONFIG / "demo.yaml"), CONFIG))
    forecast = Forecast(study, dict.fromkeys(study.study.models, 1e6), Assumptions())
    rows = forecast.rows()
    assert {row.model for row in rows} == set(study.study.models)
    page = markdown(forecast).splitlines()
    [last] = [line for line in page if line.startswith("| all |")]
    assert f" {amount(total(row.cost for row in rows).flops)} |" in last
    assert len(page) == len(rows) + 9
    assert "solved 0.5" in page[-3]
    assert "Disk: " in page[-2]
    assert "S 0.016 GB" in page[-1]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, "number of parameters of S, L is missing"),
        ({"S": 1.0}, "number of parameters of L is missing"),
        ({"S": 1.0, "L": 1.0, "XL": 1.0}, "no model 'XL'"),
    ],
)
def test_missing_and_unknown_models_are_refused(
    parameters: dict[str, float], expected: str
) -> None:
    with pytest.raises(RestemError, match=expected):
        Forecast(graph(), parameters, Assumptions())


@pytest.mark.parametrize("size", ["S", "S=", "S=-1", "S=0", "S=much", "=", "S=nan"])
def test_an_invalid_size_is_refused(size: str) -> None:
    command = ["forecast", "--configfile", str(CONFIG / "demo.yaml"), "--parameters", size]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code != 0
    assert "Error" in result.output or isinstance(result.exception, RestemError)


@pytest.mark.parametrize(
    "option", ["--length=nan", "--length=0", "--solved=1.5", "--peak=inf", "--characters=-1"]
)
def test_an_invalid_assumption_is_refused(option: str) -> None:
    command = ["forecast", "--configfile", str(CONFIG / "demo.yaml"), "--parameters", "S=1e6"]
    result = CliRunner().invoke(cli, [*command, option])
    assert result.exit_code == 2
    assert option.split("=")[0] in result.output


# ---- what make gpu measured ----

GPU: dict[str, Any] = {
    "hardware": {"device": "cuda", "name": "NVIDIA H100", "peak_flops": 1e15},
    "training": {
        "small, shared": {"tree": {"flops_per_second": 2e14, "parameters": 1_000}},
        "small, alone": {"tree": {"flops_per_second": 9e14, "parameters": 1_000}},
        "large, shared": {"tree": {"flops_per_second": 3e14, "parameters": 6_000}},
        "broken, shared": {"tree": {"error": "out of memory"}},
    },
    "sampling": {"small": {"ours_tokens_per_second": {"mean": 1e10}, "parameters": 1_000}},
}


def forecast_with(folder: Path, content: Any, *options: str) -> Any:
    (folder / "gpu.json").write_text(json.dumps(content))
    command = ["forecast", "--configfile", str(CONFIG / "demo.yaml"), "--parameters", "S=5000"]
    return CliRunner().invoke(cli, [*command, "--measured", str(folder / "gpu.json"), *options])


def test_measured_speeds_replace_assumed_ones_and_are_named(tmp_path: Path) -> None:
    text = forecast_with(tmp_path, GPU).output
    measured = "Measured on NVIDIA H100: peak 1e+15, sampling 0.02 (small), training 0.3 (large)."
    assert measured in text
    assert "Assumed: length 0.5, solved 0.5, characters 3." in text
    assert text.index(measured) < text.index("Assumed")


def test_what_is_stated_counts_more_than_what_was_measured(tmp_path: Path) -> None:
    text = forecast_with(tmp_path, GPU, "--training", "0.5").output
    assert "Assumed: length 0.5, solved 0.5, characters 3, training 0.5." in text
    assert "training 0.3" not in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GPU | {"hardware": {"device": "cpu", "name": "a CPU"}}, "it measured no GPU"),
        ({}, "it lacks 'hardware'"),
        ([], "does not hold a JSON object"),
    ],
)
def test_a_file_without_a_gpu_is_refused(content: Any, message: str, tmp_path: Path) -> None:
    result = forecast_with(tmp_path, content)
    assert result.exit_code
    assert message in str(result.exception) + result.output
