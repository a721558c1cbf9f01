"""What is known before a run is refused before it: all at once, with place and way out."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from restem.config.load import load_published, load_study, read_yaml
from restem.errors import RestemError
from restem.study import slices
from restem.study.figure_needs import figure_needs
from restem.study.graph import StudyGraph
from restem.tasks.registry import load_task
from tests.shipped import studies

CONFIG = Path(__file__).parents[3] / "config"
STUDY: dict[str, Any] = {
    "study": "known",
    "tasks": {
        "chain": {"data": {"source": {"kind": "embedded"}, "train": 4, "validation": 2, "test": 4}}
    },
    "models": {"S": {"source": {"kind": "embedded", "size": "S"}}},
    "decodings": {
        "greedy": {"draws": 1, "temperature": 0, "max_tokens": 8},
        "explore": {"draws": 4, "temperature": 0.7, "max_tokens": 8},
        "sampled": {"draws": 8, "temperature": 1.0, "max_tokens": 8},
    },
    "variants": {"rest-em": {"method": "rest-em", "task": "chain"}},
    "evaluations": [{"task": "chain", "split": "test", "decoding": "greedy"}],
}
SAMPLED = {"task": "chain", "split": "test", "decoding": "explore"}
ON_TRAIN = {"task": "chain", "split": "train", "decoding": "greedy"}


def graph(changes: dict[str, Any]) -> StudyGraph:
    """Return the graph of the study with some dotted keys changed; `+` adds evaluations."""
    study = copy.deepcopy(STUDY)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = study
        for name in parents:
            place = place.setdefault(name, {})
        if path == "+":
            study["evaluations"] += value
        else:
            place[last] = value
    return StudyGraph(load_study(study, CONFIG), load_published(CONFIG))


def problems(changes: dict[str, Any]) -> list[str]:
    """Return the problems of a study, one line per problem."""
    with pytest.raises(RestemError) as caught:
        graph(changes)
    assert caught.value.where == "study 'known'"
    _, *lines = caught.value.what.splitlines()
    return [line.removeprefix("  - ") for line in lines]


def test_what_the_module_of_a_task_names_has_to_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(load_task("chain"), verifier="maths", markers=("boxes",))
    monkeypatch.setattr("restem.study.checks.load_task", lambda name: wrong)
    verifier, marker = problems({})
    assert verifier.startswith("tasks.chain: restem.tasks.chain names a verifier that does not")
    assert "'maths'; did you mean 'math'?" in verifier
    assert "'boxes'; did you mean 'boxed'?" in marker


def test_a_task_without_a_public_source_is_told_what_to_state() -> None:
    with pytest.raises(RestemError) as caught:
        graph({"tasks.chain": {"module": "reasoning_gym"}})
    assert "tasks.chain.data: this key is required: the task's module has no public source" in str(
        caught.value
    )


def test_a_stage_without_a_slice_is_told_where_to_write_it() -> None:
    assert slices.of_stage("policy") is slices.policy
    with pytest.raises(RestemError, match="the stage 'mistakes' has no slice") as caught:
        slices.of_stage("mistakes")
    assert caught.value.where.endswith("slices.py")


def test_a_method_that_never_measures_the_reward_needs_no_validation_split() -> None:
    stated = {"variants.rest-em.method": "ssd", "tasks.chain.data.validation": 0}
    assert graph(stated).study.training_of("rest-em", "S").validations_planned == 0


@pytest.mark.parametrize("method", ["ssd", "random-label", "lmsi"])
def test_a_method_without_a_reward_does_not_stop_by_it(method: str) -> None:
    stated = {"variants.control": {"method": method, "task": "chain"}}
    policy = graph(stated).last("control", "S", 0)
    assert graph(stated).policy_settings(policy)["training"]["stop"] == "epochs"
    stop = {"training": {"stop": "validation_reward"}}
    stated["variants.control"] |= {"changes": stop}
    (problem,) = problems(stated)
    assert problem.startswith("variants.control: selection.reward: ")
    assert problem.endswith("set training.stop: epochs")


def test_the_reward_of_validation_is_that_of_selection() -> None:
    def settings(**selection: Any) -> dict[str, Any]:
        variant = {"method": "rest-em", "task": "chain", "changes": {"selection": selection}}
        noisy = graph({"variants.other": variant})
        return noisy.policy_settings(noisy.last("other", "S", 0))

    assert {"flip", "graded"}.isdisjoint(settings())
    assert settings(flip=0.3)["flip"] == 0.3
    assert settings(reward="fraction")["graded"] is True


def of_figure(module: str, **figure: Any) -> dict[str, Any]:
    shown = {"module": module, "variants": ["rest-em"], "trained_on": "chain", **figure}
    return {"experiments": {"X": {"title": "x", "figures": {"A": shown}}}}


def claiming(side: str, **claim: Any) -> dict[str, Any]:
    stated = {"id": "C", "says": "So.", "where": "here", "task": "chain", **claim}
    return {"claims": [stated | {"tests": [{"plus": [side]}]}]}


SIZES: list[tuple[dict[str, Any], str]] = [
    (
        {"tasks.chain.data.validation": 0},
        "tasks.chain.data.validation: 0, a split that variants.rest-em takes the validation reward",
    ),
    (
        {
            "tasks.chain.data.validation": 0,
            "variants.rest-em": {
                "method": "lmsi",
                "task": "chain",
                "changes": {"training": {"validations": 1}},
            },
        },
        "tasks.chain.data.validation: 0, a split that variants.rest-em takes the validation reward",
    ),
    (
        {
            "tasks.gsm8k.data.source": {"kind": "local", "directory": "data", "held_out": 0},
            "variants.rest-em.task": "gsm8k",
        },
        "tasks.gsm8k.data.source.held_out: 0, a split that variants.rest-em takes",
    ),
    (
        {"tasks.chain.data.train": 0},
        "tasks.chain.data.train: 0, a split that variants.rest-em is trained on",
    ),
    ({"tasks.chain.data.test": 0}, "tasks.chain.data.test: 0, but evaluations.0 is of this split"),
    (
        {"tasks.chain.data.source": {"kind": "embedded", "pool": 3}, "tasks.chain.data.test": 3},
        "tasks.chain.data.train: 4 problems of 3; raise source.pool",
    ),
    (
        {"variants.rest-em.method": "icl-human"},
        "variants.rest-em: m_step.shots: 8 examples of different problems, and the training split",
    ),
    (
        {
            "tasks.chain.data.train": 12,
            "variants.rest-em": {
                "method": "icl-human",
                "task": "chain",
                "changes": {"selection": {"problem_share": 0.5}},
            },
        },
        "and the training split has 6; choose fewer shots",
    ),
]
ESTIMATES: list[tuple[dict[str, Any], str]] = [
    (
        {"metrics.ks": [1, 8], "+": [SAMPLED]},
        "metrics.ks: pass@8 needs 8 draws, and no decoding of an evaluation draws more than 4",
    ),
    (
        {"metrics.votes": [8], "+": [SAMPLED]},
        "metrics.votes: maj@8 needs 8 draws, and no decoding of an evaluation draws more than 4",
    ),
    ({"metrics.difficulty": "bins"}, "metrics.difficulty: 'bins' is not defined"),
    (
        {"metrics": {"difficulty": "explore", "breakdowns": ["difficulty"]}},
        "metrics.difficulty: no evaluation draws with explore",
    ),
    (
        {"metrics.breakdowns": ["difficulty"]},
        "metrics.breakdowns: difficulty needs metrics.difficulty",
    ),
]
FIGURES: list[tuple[dict[str, Any], str]] = [
    (
        {"figures": ["train_test_gap"]},
        "figures: train_test_gap: it shows results of accuracy on train, and no evaluation gives",
    ),
    (
        {"figures": ["train_test_gap"], "+": [{**ON_TRAIN, "variants": []}]},
        "figures: train_test_gap: no method is evaluated on both train and test",
    ),
    (
        {"figures": ["train_test_gap"], "+": [ON_TRAIN], "variants.rest-em.reference": True},
        "figures: train_test_gap: no method is evaluated on both train and test",
    ),
    ({"figures": ["pass_at_k"]}, "add a sampled evaluation on test, or leave the figure out"),
    (
        {"figures": ["pass_at_k"], "+": [SAMPLED, {**SAMPLED, "decoding": "sampled"}]},
        "figures: pass_at_k: results of several decodings fit it: explore, sampled",
    ),
    (
        {"figures": ["accuracy_by_iteration"], "evaluations": [ON_TRAIN]},
        "figures: accuracy_by_iteration: it shows results of accuracy on test",
    ),
    (of_figure("comparison", decodings=["explore"]), "results of accuracy on test, and no evaluat"),
    (
        of_figure("comparison", options={"quantity": "maj@"}),
        "X.figures.A: it shows results of maj on test, and no evaluation gives what it shows",
    ),
    (of_figure("comparison", options={"split": "train"}), "results of accuracy on train"),
    (
        {**of_figure("comparison", models=["L"]), "models.L": STUDY["models"]["S"]}
        | {"evaluations": [{**STUDY["evaluations"][0], "models": ["S"]}]},
        "A: it shows results of accuracy on test",
    ),
    (
        of_figure("by_group", table="breakdown", options={"kind": "level", "quantity": "accuracy"}),
        "it shows groups by level; add level to metrics.breakdowns",
    ),
    (
        {
            **of_figure("exam", options={"exam": "chain", "against": "story"}),
            "tasks.story": STUDY["tasks"]["chain"],
        },
        "its axis `against` is story, which has no result that it shows; add a greedy evaluation",
    ),
]
TASKS: list[tuple[dict[str, Any], str]] = [
    ({"tasks.chain.data.shots": 99}, "tasks.chain.data.shots: 99 worked examples of"),
    (
        {
            "tasks.facts.data": {"source": {"kind": "embedded"}, "shots": 0},
            "variants.rest-em.task": "facts",
        },
        "tasks.facts: it has no train and no validation split that the study reads",
    ),
    ({"tracking.experiment": "x" * 251}, "tracking.experiment: String should have at most 250"),
    (
        {"experiments": {"X": {"title": "x", "figures": {"A": {"module": "comparison"}}}}},
        "experiments.X.figures.A.trained_on: the experiment has no variants",
    ),
    (of_figure("comparison", published=["fig2-l-22"]), "did you mean 'fig2-l-2'"),
]
CLAIMS: list[tuple[dict[str, Any], str]] = [
    (claiming("L/base"), "claims: C: L/base: the study has no model 'L'"),
    (claiming("S/rest-me/last"), "no variant 'rest-me' is trained on S"),
    (claiming("S/rest-em/9"), "S/rest-em/9: the last iteration of rest-em is 3"),
    (claiming("S/rest-em/last", task="story"), "no evaluation measures it greedily on story test"),
    (claiming("S/base@train"), "no evaluation measures it greedily on chain train"),
    (
        claiming("S/base", quantity="pass", decoding="explore"),
        "no evaluation measures it with explore on chain test",
    ),
    (
        claiming("S/rest-em/1")
        | {"evaluations": [{**STUDY["evaluations"][0], "iterations": "last"}]},
        "no evaluation measures it greedily on chain test",
    ),
    (
        claiming("S/rest-em/last@first-try", quantity="false_positives", check="second grader"),
        "nothing is judged twice; set false_positives.sample",
    ),
]


@pytest.mark.parametrize(
    ("changes", "expected"), SIZES + TASKS + ESTIMATES + FIGURES + CLAIMS, ids=str
)
def test_what_a_run_would_die_of_is_refused_before_it(
    changes: dict[str, Any], expected: str
) -> None:
    lines = problems(changes)
    assert len(lines) == 1
    assert expected in lines[0]


def test_the_study_itself_is_fine() -> None:
    assert graph({}).figures == ["accuracy_by_iteration"]


def test_all_contradictions_are_named_at_once() -> None:
    sizes = {f"tasks.chain.data.{split}": 0 for split in ("train", "validation", "test")}
    assert len(problems(sizes)) == 3
    assert len(problems({"figures": ["train_test_gap", "pass_at_k", "pass_at_n"]})) == 3


def test_by_default_those_figures_are_plotted_that_evaluations_give_results_for() -> None:
    assert graph({"+": [ON_TRAIN]}).figures == ["accuracy_by_iteration", "train_test_gap"]
    assert graph({"+": [SAMPLED]}).figures == ["accuracy_by_iteration", "pass_at_k"]


def test_by_default_those_k_are_estimated_that_the_draws_allow() -> None:
    assert graph({"+": [SAMPLED]}).metrics.ks == (1, 2, 4)
    assert slices.summary(graph({"+": [SAMPLED]}), None)["metrics"] == {"ks": [1, 2, 4]}
    assert slices.summary(graph({}), None)["metrics"] == {}  # greedy decoding has no k
    assert graph({"metrics.ks": [1, 8], "+": [{**SAMPLED, "decoding": "sampled"}]}).metrics.ks


def test_a_stated_k_means_nothing_where_all_is_greedy() -> None:
    assert graph({"metrics.ks": [1, 64]}).metrics.ks == (1, 64)


def test_a_shortened_list_of_experiments_needs_no_other_metrics() -> None:
    mini = read_yaml(CONFIG / "paper" / "mini.yaml")
    some = StudyGraph(load_study({**mini, "experiments": ["F1", "F10"]}, CONFIG))
    assert some.metrics.ks == (1,)
    assert some.metrics.breakdowns == ("subject",)


def test_an_average_of_weights_needs_no_validation() -> None:
    study = graph({"tasks.chain.data.validation": 0, "variants": {}})
    assert study.trained == []


def test_claims_of_the_paper_may_stay_untested() -> None:
    assert graph({"claims": "all"}).study.claims


def test_a_claim_that_an_evaluation_gives_is_accepted() -> None:
    assert graph(claiming("S/rest-em/2")).study.claims
    assert graph(claiming("S/base", quantity="pass", decoding="explore") | {"+": [SAMPLED]})
    for decoding in ("greedy", "explore"):  # an exam is sat with either kind
        assert graph(claiming("S/base", quantity="score", decoding=decoding) | {"+": [SAMPLED]})
    checked = {"false_positives.sample": 9}
    everything = claiming("S/rest-em/all@first-try", quantity="false_positives", check="equations")
    assert graph(everything | checked)


@pytest.mark.parametrize("path", studies("config", "config/paper"), ids=lambda p: p.name)
def test_every_study_of_the_repository_can_be_planned(path: Path) -> None:
    stated = read_yaml(path)
    if "study" in stated:
        assert StudyGraph(load_study(stated, CONFIG)).evaluations()


def test_every_figure_of_the_repository_says_what_it_shows() -> None:
    needs = figure_needs()
    assert needs["pass_at_k"].quantity({}) == "pass@"
    assert needs["train_test_gap"].splits({}) == ("train", "test")
    assert needs["comparison"].splits({"split": "train"}) == ["train"]
    by_table = {"exam", "by_group", "capability", "false_positives"}
    assert all(needs[name].splits({}) for name in needs.keys() - by_table)


def test_names_that_are_too_long_together_are_refused() -> None:
    long = {"v" * 64: {"method": "rest-em", "task": "c" * 64}}
    changes = {
        "study": "s" * 64,
        "tasks": {"c" * 64: {"module": "chain", **STUDY["tasks"]["chain"]}},
        "models": {"m" * 64: STUDY["models"]["S"]},
        "variants": long,
        "evaluations": [{"task": "c" * 64, "split": "test", "decoding": "greedy"}],
    }
    with pytest.raises(RestemError, match=r"SLURM's log folder") as caught:
        graph(changes)
    assert "MLflow's run" in caught.value.what
    assert graph({"variants": {"v" * 64: STUDY["variants"]["rest-em"]}})
