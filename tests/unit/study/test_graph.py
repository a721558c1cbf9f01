"""The walk: equal recipes are one artifact, and every stage reads its own slice only."""

import copy
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from restem.config.study import Study
from restem.errors import RestemError
from restem.stages.declaration import load_stage
from restem.study import slices as slices_of
from restem.study.graph import Draws, Policy, StudyGraph
from restem.study.slices import rechecked

STUDY: dict[str, Any] = {
    "study": "walk",
    "seeds": [0, 1],
    "tasks": {
        "chain": {"data": {"source": {"kind": "embedded"}, "train": 4}},
        "story": {"data": {"source": {"kind": "embedded"}, "test": 4}},
    },
    "models": {
        "S": {"source": {"kind": "embedded", "size": "S"}},
        "L": {"source": {"kind": "embedded", "size": "L"}},
    },
    "decodings": {
        "greedy": {"draws": 1, "temperature": 0, "max_tokens": 8},
        "explore": {"draws": 4, "temperature": 0.7, "max_tokens": 8},
    },
    "methods": {
        "rest-em": {"e_step": {"decoding": "explore"}, "iterations": 3},
        "rest": {"e_step": {"decoding": "explore"}, "iterations": 3, "start": "last"},
        "rft": {"e_step": {"decoding": "explore", "generator": "base"}},
        "sft": {"selection": {"model_data": False, "human": "terse"}},
    },
    "variants": {"rest-em": {"method": "rest-em", "task": "chain"}},
    "evaluations": [{"task": "chain", "split": "test", "decoding": "greedy"}],
}

FIXED = {"stop": "epochs"}  # nothing is ever validated


def walk(**changes: Any) -> StudyGraph:
    return StudyGraph(Study.model_validate({**copy.deepcopy(STUDY), **changes}))


def variant(method: str, **more: Any) -> dict[str, Any]:
    return {"method": method, "task": "chain", "models": ["S"], **more}


def at(name: str, iteration: int, seed: int = 0, model: str = "S") -> Policy:
    return Policy("chain", model, name, seed, iteration)


# ---- equal recipes ----


def test_a_shorter_variant_shares_the_longer_ones_iterations() -> None:
    both = walk(
        variants={"three": variant("rest-em"), "two": variant("rest-em", iterations=2)}, seeds=[0]
    )
    assert both.trained == [at("three", 1), at("three", 2), at("three", 3)]
    assert both.aliases == [(at("three", k), at("two", k)) for k in (1, 2)]
    assert both.owner(at("two", 2)) == at("three", 2)


def test_the_variant_that_is_stated_first_owns_what_is_shared() -> None:
    both = walk(
        variants={"two": variant("rest-em", iterations=2), "three": variant("rest-em")}, seeds=[0]
    )
    assert both.trained == [at("two", 1), at("two", 2), at("three", 3)]
    assert both.e_step(at("three", 3)) == Draws(at("two", 2), "chain", "train", "explore", 0)


def test_starting_from_the_last_policy_differs_from_the_second_iteration_on() -> None:
    both = walk(variants={"em": variant("rest-em"), "rest": variant("rest")}, seeds=[0])
    assert both.owner(at("rest", 1)) == at("em", 1)
    assert both.owner(at("rest", 2)) == at("rest", 2)
    assert both.start(at("rest", 2)) == at("em", 1)
    assert both.start(at("em", 2)) == both.base("S")


def test_drawing_from_the_base_once_is_the_first_iteration() -> None:
    both = walk(variants={"em": variant("rest-em"), "rft": variant("rft")}, seeds=[0])
    assert both.owner(at("rft", 1)) == at("em", 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"selection": {"cap": 4}},
        {"selection": {"human": "terse"}},
        {"selection": {"draws": 2}},
        {"training": {"epochs_max": 1}},
        {"e_step": {"decoding": "other"}},
    ],
    ids=str,
)
def test_any_difference_in_the_recipe_is_another_artifact(changes: dict[str, Any]) -> None:
    method = {**STUDY["methods"]["rest-em"], **changes}
    other = {"draws": 4, "temperature": 0.8, "max_tokens": 8}
    both = walk(
        methods={**STUDY["methods"], "other": method},
        decodings={**STUDY["decodings"], "other": other},
        variants={"em": variant("rest-em"), "other": variant("other")},
    )
    assert both.aliases == []


def test_looking_at_all_draws_is_looking_at_so_many() -> None:
    method = {**STUDY["methods"]["rest-em"], "selection": {"draws": 4}}
    both = walk(
        methods={**STUDY["methods"], "other": method},
        variants={"em": variant("rest-em"), "other": variant("other")},
        seeds=[0],
    )
    assert len(both.trained) == 3


def test_models_tasks_and_seeds_share_nothing() -> None:
    many = walk(
        variants={
            "a": {"method": "rest-em", "task": "chain"},
            "b": {"method": "rest-em", "task": "story"},
        }
    )
    assert len(many.trained) == 2 * 2 * 2 * 3
    assert many.aliases == []


def test_two_names_of_one_module_with_the_same_data_are_two_tasks() -> None:
    task = STUDY["tasks"]["chain"]
    twins = walk(
        tasks={**STUDY["tasks"], "twin": {**task, "module": "chain"}},
        variants={"a": variant("sft"), "b": {**variant("sft"), "task": "twin"}},
    )
    assert twins.aliases == []


def test_human_solutions_of_every_seed_train_apart() -> None:
    """The order of examples follows the seed, so that seeds are repetitions."""
    assert len(walk(variants={"sft": variant("sft")}).trained) == 2


def test_twenty_iterations_from_the_last_policy_resolve_at_once() -> None:
    started = time.monotonic()
    long = walk(variants={"rest": {"method": "rest", "task": "chain", "iterations": 20}})
    assert len(long.trained) == 20 * 2 * 2
    assert len(long.sampled()) > 80
    assert time.monotonic() - started < 30


# ---- seeds and draws ----


def test_greedy_draws_do_not_depend_on_the_seed() -> None:
    study = walk()
    greedy = {study.draws(study.base("S"), "chain", "test", "greedy", seed) for seed in range(3)}
    assert len(greedy) == 1
    explore = {study.draws(study.base("S"), "chain", "test", "explore", seed) for seed in range(3)}
    assert len(explore) == 3


def test_the_base_is_evaluated_once_whatever_the_seeds() -> None:
    study = walk()
    assert len([d for d in study.evaluations() if d.policy.variant == "base"]) == 2


def test_another_seed_adds_policies_and_changes_none() -> None:
    one, two = walk(seeds=[0]), walk(seeds=[0, 7])
    assert set(one.trained) < set(two.trained)
    assert {p.seed for p in set(two.trained) - set(one.trained)} == {7}
    for policy in one.trained:
        assert one.policy_settings(policy) == two.policy_settings(policy)
        assert one.examples_settings(policy) == two.examples_settings(policy)


def test_every_seed_draws_its_own_e_step() -> None:
    study = walk()
    steps = [study.e_step(at("rest-em", 1, seed)) for seed in (0, 1)]
    assert [step.seed for step in steps if step] == [0, 1]
    assert {step.policy for step in steps if step} == {study.base("S")}


def test_the_generator_of_each_iteration_is_the_policy_before() -> None:
    study = walk()
    step = study.e_step(at("rest-em", 3, 1))
    assert step == Draws(at("rest-em", 2, 1), "chain", "train", "explore", 1)


def test_supervised_fine_tuning_draws_nothing() -> None:
    study = walk(variants={"sft": variant("sft")})
    assert [study.e_step(policy) for policy in study.trained] == [None, None]
    assert {draws.decoding for draws in study.sampled()} == {"greedy"}


def test_the_number_of_validations_is_known_before_a_run() -> None:
    methods = {
        "fixed": {**STUDY["methods"]["rft"], "training": FIXED},
        "prompted": {
            **STUDY["methods"]["rft"],
            "m_step": {"kind": "prompt", "candidates": 5, "shots": 1},
        },
        "averaged": {
            "m_step": {"kind": "interpolate"},
            "initial": "sft",
            "selection": {"model_data": False},
        },
    }
    names = ("rest-em", *methods)
    variants = {name: {"method": name, "task": "chain"} for name in (*names, "sft")}
    variants["averaged"] |= {"sft": "sft"}
    study = walk(methods={**STUDY["methods"], **methods}, variants=variants)
    counts = {name: study.validations(at(name, 1)) for name in names}
    assert counts == {"rest-em": 7, "fixed": 0, "prompted": 5, "averaged": 0}


def test_selecting_human_solutions_needs_no_seed() -> None:
    study = walk(variants={"sft": variant("sft"), "em": variant("rest-em")})
    assert "seed" not in study.examples_settings(at("sft", 1))
    assert study.examples_settings(at("em", 2, 1))["seed"] == [1, 2]


def test_evaluating_the_last_iteration_leaves_the_others_out() -> None:
    last = {"task": "chain", "split": "test", "decoding": "greedy", "iterations": "last"}
    study = walk(evaluations=[last], seeds=[0])
    found = {(d.policy.variant, d.policy.iteration) for d in study.evaluations()}
    assert found == {("base", 0), ("rest-em", 3)}


def test_what_is_evaluated_twice_is_drawn_once() -> None:
    evaluation = STUDY["evaluations"][0]
    assert walk(evaluations=[evaluation] * 2).evaluations() == walk().evaluations()


def test_aliases_are_not_sampled_again() -> None:
    one = walk(variants={"em": variant("rest-em")})
    two = walk(variants={"em": variant("rest-em"), "same": variant("rest-em")})
    assert two.sampled() == one.sampled()
    assert len(two.aliases) == 6


# ---- the slices that the stages read ----


def wildcards(draws: Draws) -> Any:
    """Return an address as the wildcards of a job."""
    names = {"on": draws.task, "split": draws.split, "decoding": draws.label}
    return SimpleNamespace(**vars(draws.policy), **names, draw_seed=str(draws.seed))


def slices(study: StudyGraph) -> dict[str, Any]:
    """Return every setting of every stage, by stage and address."""
    found: dict[str, Any] = {}
    for policy in study.trained:
        found[f"examples {policy.path}"] = study.examples_settings(policy)
        found[f"policy {policy.path}"] = study.policy_settings(policy)
    for draws in study.sampled():
        found[f"samples {draws.path}"] = study.samples_settings(draws)
    for draws in study.evaluations():
        found[f"metrics {draws.path}"] = slices_of.metrics(study, wildcards(draws))
    for task in study.study.tasks:
        found[f"rewards {task}"] = study.rewards_settings(task, "train")
        for split in ("train", "validation", "test", "shots"):
            found[f"problems {task} {split}"] = study.problems_settings(task, split)
    for model in study.study.models:
        found[f"base {model}"] = study.base_settings(model)
    nothing = SimpleNamespace(figure="accuracy_by_iteration")
    for stage in ("overlap", "summary", "figure", "table", "tracking"):
        found[stage] = getattr(slices_of, stage)(study, nothing)
    return found


def changed(**changes: Any) -> set[str]:
    """Name the stages whose slice differs from the study's, among the addresses of both."""
    before, after = slices(walk()), slices(walk(**changes))
    return {name.split()[0] for name in before.keys() & after.keys() if before[name] != after[name]}


def merged(path: str, value: Any) -> dict[str, Any]:
    """Return the top block of the study with the value at a dotted path changed."""
    study = copy.deepcopy(STUDY)
    *parents, last = path.split(".")
    place = study
    for name in parents:
        place = place.setdefault(name, {})
    place[last] = value
    return {parents[0] if parents else last: study[parents[0] if parents else last]}


SLICES: list[tuple[str, Any, set[str]]] = [
    ("description", "words", set()),
    ("shards.train", 4, set()),
    ("figures", ["accuracy_by_iteration"], set()),
    ("metrics.resamples", 200, {"summary"}),
    ("metrics.confidence", 0.9, {"summary", "figure", "table"}),
    ("tracking.enabled", False, {"tracking"}),
    ("decodings.explore.draws", 8, {"samples", "tracking"}),
    ("decodings.greedy.max_tokens", 9, {"samples", "policy"}),
    ("training.batch_size", 2, {"policy"}),
    ("methods.rest-em.selection.cap", 3, {"examples", "tracking"}),
    ("methods.rest-em.training.patience", 3, {"policy"}),
    ("methods.sft.training.patience", 3, set()),
    ("tasks.chain.data.train", 5, {"problems"}),
    ("tasks.chain.data.test", 5, {"problems"}),
    ("tasks.chain.reward.extraction", "flexible", {"rewards", "policy"}),
    ("tasks.chain.reward.code.held_back", 1, {"rewards"}),
    ("false_positives.sample", 5, set()),
    ("variants.rest-em.reference", True, {"summary", "figure", "table"}),
    ("models.S.source.seed", 3, {"base"}),
]


@pytest.mark.parametrize(("path", "value", "stages"), SLICES, ids=[row[0] for row in SLICES])
def test_a_key_is_in_the_slice_of_those_that_read_it_and_of_no_other(
    path: str, value: Any, stages: set[str]
) -> None:
    assert changed(**merged(path, value)) == stages


@pytest.mark.parametrize(
    ("path", "value"),
    [("decodings.greedy.max_tokens", 9), ("tasks.chain.reward.extraction", "flexible")],
)
def test_what_validations_read_is_read_by_policies_that_validate_only(
    path: str, value: Any
) -> None:
    methods = {**STUDY["methods"], "fixed": {**STUDY["methods"]["rft"], "training": FIXED}}
    stated = {"methods": methods, "variants": {"em": variant("rest-em"), "fixed": variant("fixed")}}
    before, after = walk(**stated), walk(**stated | merged(path, value))
    for policy in before.trained:
        same = before.policy_settings(policy) == after.policy_settings(policy)
        assert same == (policy.variant == "fixed")
    judged = {
        name: any(m.startswith("restem.rewards") for m in modules_of(before, at(name, 1)))
        for name in ("em", "fixed")
    }
    assert judged == {"em": True, "fixed": False}


def modules_of(study: StudyGraph, policy: Policy) -> list[str]:
    return load_stage("policy").modules(study.policy_settings(policy))


def test_a_split_reads_no_other_splits_number() -> None:
    before, after = walk(), walk(**merged("tasks.chain.data.train", 5))
    assert before.problems_settings("chain", "test") == after.problems_settings("chain", "test")
    assert before.problems_settings("chain", "train") != after.problems_settings("chain", "train")


def test_tests_are_held_back_where_policies_are_trained_and_nowhere_else() -> None:
    before, after = walk(), walk(**merged("tasks.chain.reward.code.held_back", 2))
    told = after.rewards_settings("chain", "train")["reward"]
    assert told == {"code": {"held_back": 2}}
    for split in ("validation", "test"):
        assert after.rewards_settings("chain", split) == before.rewards_settings("chain", split)
    both = walk(**merged("tasks.chain.reward.code", {"held_back": 2, "cpu_seconds": 1}))
    assert both.rewards_settings("chain", "test")["reward"] == {"code": {"cpu_seconds": 1}}
    assert after.identity(at("rest-em", 1)) != before.identity(at("rest-em", 1))


def test_stating_a_default_changes_no_slice() -> None:
    assert changed(**merged("tasks.chain.data.seed", 0)) == set()
    assert changed(**merged("decodings.explore.top_p", 1.0)) == set()
    assert changed(**merged("training.patience", 2)) == set()
    assert changed(**merged("tasks.chain.module", "chain")) == set()


def turned(value: Any) -> Any:
    """Return a value with the keys of all its mappings in the opposite order."""
    if isinstance(value, dict):
        return {key: turned(item) for key, item in reversed(value.items())}
    return value


def test_the_order_of_keys_changes_no_slice() -> None:
    many = {**STUDY, "variants": {"em": variant("rest-em"), "sft": variant("sft")}}
    before = slices(StudyGraph(Study.model_validate(many)))
    assert slices(StudyGraph(Study.model_validate(turned(many)))) == before


def test_the_order_of_variants_says_only_who_owns_what_is_shared() -> None:
    variants = {"em": variant("rest-em"), "short": variant("rest-em", iterations=1)}
    before, after = walk(variants=variants), walk(variants=turned(variants))
    assert {before.identity(p) for p in before.trained} == {
        after.identity(p) for p in after.trained
    }
    assert before.owner(at("short", 1)) == at("em", 1)
    assert after.owner(at("em", 1)) == at("short", 1)


def test_every_policy_has_a_path_of_its_own() -> None:
    study = walk(variants={"em": variant("rest-em"), "rest": variant("rest")})
    paths = [policy.path for policy in study.trained]
    assert len(set(paths)) == len(paths)
    assert at("em", 2, 1).path == "chain/S/em/seed-1/iter-2"
    assert study.base("S").path == "pretrained/S/base/seed-0/iter-0"
    draws = Draws(at("em", 2, 1), "story", "test", "greedy", 0)
    assert draws.path == "chain/S/em/seed-1/iter-2/story/test/greedy/seed-0"


def test_an_unknown_policy_has_no_owner() -> None:
    with pytest.raises(KeyError):
        walk().owner(replace(at("rest-em", 1), variant="nobody"))


def test_embedded_models_are_named_as_such() -> None:
    assert walk().label == "embedded model"


def test_an_unknown_figure_is_refused_with_the_nearest() -> None:
    with pytest.raises(RestemError, match="'pass_at_k'"):
        walk(figures=["pass_at_n"])


@pytest.mark.parametrize("module", ["style", "series", "__init__"])
def test_a_figure_module_is_one_that_defines_plot(module: str) -> None:
    with pytest.raises(RestemError, match="there is no figure"):
        walk(figures=[module])


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        ({"options": {"titel": "x"}}, "no option 'titel'; did you mean 'title'"),
        ({"x": "selection.flip"}, "no option 'x'"),
    ],
)
def test_an_option_that_a_figure_does_not_have_is_refused(
    figure: dict[str, Any], expected: str
) -> None:
    shown = {"module": "comparison", "variants": ["rest-em"], **figure}
    with pytest.raises(RestemError, match=expected):
        walk(experiments={"X": {"title": "x", "figures": {"A": shown}}})


def test_metrics_know_whether_a_decoding_is_greedy() -> None:
    study = walk()
    for draws in study.evaluations():
        greedy = slices_of.metrics(study, wildcards(draws))["greedy"]
        assert greedy == (study.study.decodings[draws.decoding].temperature == 0)


def test_an_unknown_task_module_is_refused_with_the_nearest() -> None:
    with pytest.raises(RestemError, match="'chain'"):
        walk(**merged("tasks.chain.module", "chian"))


# ---- false positives ----


def rechecked_study(**changes: Any) -> StudyGraph:
    return walk(**{"false_positives": {"sample": 5}, "seeds": [0], **changes})


def test_nothing_is_rechecked_unless_a_study_asks_for_it() -> None:
    assert rechecked(walk()) == {}


def test_each_artifact_is_rechecked_once_under_all_of_its_names() -> None:
    both = {"three": variant("rest-em"), "two": variant("rest-em", iterations=2)}
    found = rechecked(rechecked_study(variants=both))
    assert list(found) == [at("three", 1), at("three", 2), at("three", 3)]
    assert found[at("three", 2)] == [at("three", 2), at("two", 2)]
    shown = slices_of.false_positives(rechecked_study(variants=both), None)["policies"]
    assert [[name["variant"] for name in names] for names in shown] == [
        ["three", "two"], ["three", "two"], ["three"],
    ]  # fmt: skip


def test_human_solutions_are_not_rechecked() -> None:
    found = rechecked(rechecked_study(variants={"sft": variant("sft"), "rft": variant("rft")}))
    assert list(found) == [at("rft", 1)]


def test_a_recheck_of_nothing_is_refused() -> None:
    with pytest.raises(RestemError, match="nothing to judge"):
        rechecked(rechecked_study(variants={"sft": variant("sft")}))


def test_programs_are_rechecked_only_where_tests_are_held_back() -> None:
    def study(held_back: int) -> StudyGraph:
        code = {"data": {"source": {"kind": "embedded"}, "train": 4}, "module": "program"}
        code |= {"reward": {"code": {"held_back": held_back}}}
        both = {"rft": variant("rft"), "code": {**variant("rft"), "task": "apps"}}
        return rechecked_study(tasks={**STUDY["tasks"], "apps": code}, variants=both)

    assert [policy.task for policy in rechecked(study(0))] == ["chain"]
    assert "held_back" in slices_of.false_positives(study(0), None)["without"]["apps"]
    assert [policy.task for policy in rechecked(study(1))] == ["chain", "apps"]
    assert slices_of.false_positives(study(1), None)["without"] == {}
    told = slices_of.recheck(study(1), SimpleNamespace(**vars(Policy("apps", "S", "code", 0, 1))))
    assert told["reward"] == {"code": {"held_back": 1}}
    assert told["verifier"] == "code"


def test_a_recheck_reads_the_sources_in_the_order_of_the_shards() -> None:
    methods = copy.deepcopy(STUDY["methods"])
    methods["rest-em"]["e_step"]["hint"] = "greedy"
    methods["rest-em"]["selection"] = {"accumulate": 2}
    study = rechecked_study(methods=methods)
    policy = Policy("chain", "S", "rest-em", 0, 2)
    sources = slices_of.recheck(study, SimpleNamespace(**vars(policy)))["sources"]
    assert sources == [["model", 0], ["hint", 0], ["model", 1], ["hint", 1]]
    assert len(sources) == len(study.feeds(policy))


# ---- chat prompts ----


CHAT_MODELS: dict[str, Any] = {
    name: {"source": {"kind": "local", "directory": "here"}, **prompt}
    for name, prompt in (("plain", {}), ("chatty", {"prompt": "chat"}))
}


def test_the_form_of_prompts_is_in_every_recipe_that_it_decides() -> None:
    both = walk(models=CHAT_MODELS, variants={"em": {"method": "rest-em", "task": "chain"}})
    for model, stated in (("plain", None), ("chatty", "chat")):
        policy = at("em", 1, model=model)
        drawn = both.e_step(policy)
        assert drawn is not None
        for settings in (
            both.samples_settings(drawn),
            both.examples_settings(policy),
            both.policy_settings(policy),
        ):
            assert settings.get("prompt") == stated
    assert both.aliases == []


def test_what_a_teacher_says_in_turns_is_another_source() -> None:
    e_step = {"decoding": "explore", "generator": "teacher"}
    names = {f"by-{name}": name for name in CHAT_MODELS}
    both = walk(
        seeds=[0],
        models={**CHAT_MODELS, "S": STUDY["models"]["S"]},
        methods={"taught": {"e_step": e_step}},
        variants={key: variant("taught", teacher={"model": name}) for key, name in names.items()},
    )
    assert both.aliases == []
