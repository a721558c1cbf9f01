"""A forecast counts what the study would draw and train, each artifact once."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from restem.accounts.costs import Cost, total
from restem.accounts.forecast import Assumed, Forecast, text
from restem.cli import cli
from restem.config.load import load_study, read_yaml
from restem.config.study import Study
from restem.errors import RestemError
from restem.pages.ledger import amount
from restem.study.graph import StudyGraph
from tests.unit.study.test_graph import STUDY

PARAMETERS = {"S": 1000.0, "L": 5000.0}
CONFIG = Path(__file__).parents[3] / "config"


def walk(**changes: Any) -> StudyGraph:
    stated = copy.deepcopy(STUDY)
    for task in stated["tasks"].values():
        task["data"] |= {"source": {"kind": "embedded", "pool": 20}, "validation": 4, "shots": 1}
    return StudyGraph(Study.model_validate({**stated, **changes}))


def one(method: dict[str, Any], **changes: Any) -> StudyGraph:
    """Return the walk of one method on one model, seed and task; only L is evaluated."""
    stated = {"variants": {"v": {"method": "m", "task": "chain", "models": ["S"]}}, "seeds": [0]}
    other = {"task": "story", "split": "test", "decoding": "greedy", "models": ["L"]}
    return walk(methods={"m": method}, evaluations=[other], **stated, **changes)


def costs(of: StudyGraph, **assumed: float) -> dict[str, Cost]:
    """Return the cost of S by kind of work."""
    rows = Forecast(of, PARAMETERS, replace(Assumed(), **assumed)).rows()
    return {row.work: row.cost for row in rows if row.model == "S"}


DRAWN: dict[str, Any] = {"e_step": {"decoding": "explore"}}


def test_draws_cost_each_prompt_once_and_every_completion() -> None:
    found = costs(one(DRAWN), length=0.5)["draws for the E-step"]
    assert found.draws == 4 * 4  # problems x draws
    assert found.generated_tokens == 16 * 4  # half of 8 tokens
    assert found.cached_tokens == pytest.approx(3 * found.prompt_tokens, abs=3)
    assert found.flops == 2 * 1000 * (found.prompt_tokens + found.generated_tokens)


def test_gpu_time_is_operations_over_what_a_gpu_reaches() -> None:
    slow = costs(one(DRAWN), peak=1e6, drawing=0.5, training=0.25)
    assert slow["draws for the E-step"].gpu_seconds == slow["draws for the E-step"].flops / 5e5
    assert slow["training"].gpu_seconds == slow["training"].flops / 2.5e5


def test_what_two_variants_share_is_counted_once() -> None:
    variants = {
        name: {"method": "rest-em", "task": "chain", "models": ["S"], "iterations": count}
        for name, count in (("two", 2), ("three", 3))
    }
    assert costs(walk(variants=variants)) == costs(walk(variants={"three": variants["three"]}))


def test_examples_are_those_that_are_solved_up_to_the_cap() -> None:
    solved = [
        Forecast(of, PARAMETERS, Assumed(solved=0.5)).examples(of.trained[0])
        for of in (
            one(DRAWN),
            one({**DRAWN, "selection": {"cap": 1}}),
            one({**DRAWN, "selection": {"threshold": None}}),
            one({**DRAWN, "selection": {"problems": 3}}),
            one({**DRAWN, "selection": {"human": "terse"}}),
            one({**DRAWN, "selection": {"times": 3}}),
            one({"selection": {"model_data": False, "human": "terse"}}),
        )
    ]
    assert solved == [8, 4, 16, 6, 12, 24, 4]


def test_training_ends_with_its_epochs_or_its_steps() -> None:
    layout = {"batch_size": 8, "epochs_max": 3, "layout": "padded"}
    whole = costs(one(DRAWN, training=layout))["training"]
    steps = costs(one(DRAWN, training={**layout, "steps": 6}))["training"]
    tree = costs(one(DRAWN, training={**layout, "layout": "tree"}))["training"]
    grown = {**DRAWN, "steps": {"first": 6}, "iterations": 1}
    assert steps.trained_tokens == pytest.approx(2 * whole.trained_tokens, abs=1)
    assert costs(one(grown, training=layout))["training"] == steps
    assert tree.trained_tokens < whole.trained_tokens / 2  # the few-shot prompt once a step
    assert whole.flops == 6 * 1000 * whole.trained_tokens


def test_frozen_weights_train_no_token_and_prompts_are_tried() -> None:
    shots = costs(one({**DRAWN, "m_step": {"kind": "shots"}}))
    prompt = costs(one({**DRAWN, "m_step": {"kind": "prompt", "candidates": 5}}))
    assert shots["training"] == prompt["training"] == Cost()
    assert shots["validation in training"].draws == 0
    assert prompt["validation in training"].draws > 0


def test_processes_share_the_moments_and_adapters_need_the_weights_alone() -> None:
    def held(**training: Any) -> dict[str, float]:
        return Forecast(one(DRAWN, training=training), PARAMETERS, Assumed()).memory()

    assert held() == {"S": 16 * 1000}
    assert held(processes=4) == {"S": 10 * 1000}
    assert held(processes=4, shard="weights") == {"S": 4 * 1000}
    assert held(lora={"rank": 4}) == {"S": 4 * 1000}
    assert held(lora={"rank": 4}, processes=4, shard="weights") == {"S": 1000}
    frozen = one({**DRAWN, "m_step": {"kind": "shots"}})
    assert Forecast(frozen, PARAMETERS, Assumed()).memory() == {}


def test_a_search_costs_its_continuations_and_rollouts() -> None:
    search = {"beams": 2, "expansions": 3, "rollouts": 4, "step_tokens": 2}
    found = costs(one({"e_step": {"decoding": "explore", "search": search}}), length=0.5)
    # 2 steps of 2 tokens each make the 4 tokens of a completion; half of it is rolled out
    assert found["draws for the E-step"].generated_tokens == 4 * (2 * 2 * 3) * (2 + 4 * 2)


def test_the_demo_has_a_forecast_whose_last_line_adds_up() -> None:
    of = StudyGraph(load_study(read_yaml(CONFIG / "demo.yaml"), CONFIG))
    forecast = Forecast(of, dict.fromkeys(of.study.models, 1e6), Assumed())
    rows = forecast.rows()
    assert {row.model for row in rows} == set(of.study.models)
    page = text(forecast).splitlines()
    [whole] = [line for line in page if line.startswith("| all |")]
    assert f" {amount(total(row.cost for row in rows).flops)} |" in whole
    assert len(page) == len(rows) + 8
    assert "solved 0.5" in page[-2]
    assert "S 0.016 GB" in page[-1]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, "nothing says how large S, L are"),
        ({"S": 1.0}, "nothing says how large L is"),
        ({"S": 1.0, "L": 1.0, "XL": 1.0}, "no model 'XL'"),
    ],
)
def test_sizes_must_fit_the_study(parameters: dict[str, float], expected: str) -> None:
    with pytest.raises(RestemError, match=expected):
        Forecast(walk(), parameters, Assumed())


@pytest.mark.parametrize("size", ["S", "S=", "S=-1", "S=0", "S=much", "=", "S=nan"])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    asked = ["forecast", "--configfile", str(CONFIG / "demo.yaml"), "--parameters", size]
    done = CliRunner().invoke(cli, asked)
    assert done.exit_code != 0
    assert "Error" in done.output or isinstance(done.exception, RestemError)


@pytest.mark.parametrize(
    "option", ["--length=nan", "--length=0", "--solved=1.5", "--peak=inf", "--characters=-1"]
)
def test_an_assumption_that_is_none_is_refused(option: str) -> None:
    asked = ["forecast", "--configfile", str(CONFIG / "demo.yaml"), "--parameters", "S=1e6"]
    done = CliRunner().invoke(cli, [*asked, option])
    assert done.exit_code == 2
    assert option.split("=")[0] in done.output
