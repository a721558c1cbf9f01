"""Every preset is valid, says what its method says, and equals others where it must."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from restem.config.load import load_study, presets
from restem.config.method import Method
from restem.errors import RestemError
from restem.stages import examples, policy, samples
from restem.study import slices
from restem.study.addresses import Policy
from restem.study.graph import StudyGraph
from tests.shipped import tracked

CONFIG = Path(__file__).parents[3] / "config"
PRESETS = presets(CONFIG / "methods")
ZOO = yaml.safe_load((CONFIG / "methods.yaml").read_text())


def walk(variants: dict[str, Any], **changes: Any) -> StudyGraph:
    study = copy.deepcopy(ZOO)
    study["variants"] = {
        name: {"task": "chain", **({"method": v} if isinstance(v, str) else v)}
        for name, v in variants.items()
    }
    return StudyGraph(load_study({**study, **changes}, CONFIG))


def at(name: str, iteration: int = 1, seed: int = 0) -> Policy:
    return Policy("chain", "S", name, seed, iteration)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid(name: str) -> None:
    Method.model_validate(PRESETS[name])


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_names_its_paper_or_its_purpose(name: str) -> None:
    first = (CONFIG / "methods" / f"{name}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ")
    assert len(first) > 40


EXACT = {name for name in PRESETS if "2312.06585" in str(PRESETS[name].get("paper"))}
OF_A_PAPER = sorted(name for name in PRESETS if PRESETS[name].get("paper"))


@pytest.mark.parametrize("name", OF_A_PAPER)
def test_every_preset_of_another_paper_states_what_is_not_as_there(name: str) -> None:
    method = Method.model_validate(PRESETS[name])
    assert bool(method.deviations) == (name not in EXACT)


def test_methods_that_others_published_name_their_paper() -> None:
    shipped = {path.stem for path in tracked("config/methods")}
    assert shipped - set(OF_A_PAPER) == {"sft", "ssd", "random-label"}


def test_what_is_said_of_sources_makes_nothing_stale() -> None:
    changed = {**PRESETS["star"], "deviations": [{"what": "x", "source": "y", "here": "z"}]}
    before = walk({"star": "star"})
    after = walk({"star": "star"}, methods={**ZOO["methods"], "star": changed})
    before.published = after.published = {"publications": {}}
    assert slices.methods(before, None) == slices.methods(after, None)
    assert before.identity(at("star")) == after.identity(at("star"))


def test_rest_has_no_cap_and_rft_trains_as_its_authors_do() -> None:
    assert PRESETS["rest"]["selection"]["cap"] is None
    study = walk({"sft": "sft", "rft": {"method": "rft", "sft": "sft"}})
    training = study.policy_settings(at("rft"))["training"]
    expected = {"learning_rate": 2e-5, "batch_size": 128, "stop": "epochs"}
    assert expected.items() <= training.items()
    assert study.study.training_of("rft", "S").epochs_max == 3


def test_the_study_of_methods_has_every_method() -> None:
    used = {variant["method"].removesuffix("-small") for variant in ZOO["variants"].values()}
    assert used == set(PRESETS)


# ---- identities ----


def test_rest_and_rest_em_share_the_first_iteration_where_their_start_and_data_are_equal() -> None:
    both = walk({"em": "rest-em", "rest": "rest-last"})
    assert both.owner(at("rest", 1)) == at("em", 1)
    assert both.owner(at("rest", 2)) == at("rest", 2)


def test_rft_is_one_iteration_without_cap_with_paths_and_human_data() -> None:
    """From the base policy: RFT = ReST-EM, one iteration, no cap, dedup, human mix."""
    em = copy.deepcopy(PRESETS["rest-em"])
    em["iterations"] = 1
    em["selection"] |= {"cap": None, "deduplicate": "equations", "valid_steps": True}
    em["selection"] |= {"human": "human", "draws": 100}
    em["training"] = PRESETS["rft"]["training"]
    rft = {**copy.deepcopy(PRESETS["rft"]), "initial": "base"}
    both = walk({"em": "em-as-rft", "rft": "rft-base"}, methods={"em-as-rft": em, "rft-base": rft})
    assert both.aliases == [(at("em"), at("rft"))]


def test_the_first_third_of_three_times_is_drawn_once() -> None:
    both = walk({"em": "rest-em", "three": "three-times"})
    first, three = both.e_step(at("em", 1)), both.e_step(at("three"))
    assert first == three
    assert first is not None
    assert both.count(first) == 48
    assert both.examples_settings(at("em", 1))["drawn"] == [16]
    assert "drawn" not in both.examples_settings(at("three"))
    later = both.e_step(at("em", 2))
    assert later is not None
    assert both.count(later) == 16


def test_three_times_leaves_the_other_policies_as_they_were() -> None:
    alone, both = walk({"em": "rest-em"}), walk({"em": "rest-em", "three": "three-times"})
    for iteration in (1, 2, 3):
        address = at("em", iteration)
        assert alone.identity(address) == both.identity(address)
        assert alone.policy_settings(address) == both.policy_settings(address)


def test_best_of_n_and_one_correct_pick_share_draws_but_not_examples() -> None:
    both = walk({"best": "exit-best-of-n", "star": "rest-star"})
    assert both.feeds(at("best"))[0] == both.feeds(at("star"))[0]
    assert both.aliases == []


def test_a_threshold_schedule_is_part_of_the_recipe_only_where_it_differs() -> None:
    flat = copy.deepcopy(PRESETS["rest-last"])
    rising = copy.deepcopy(flat)
    rising["selection"]["threshold"] = [0.0, 0.5]
    both = walk({"flat": "flat", "rising": "rising"}, methods={"flat": flat, "rising": rising})
    assert both.owner(at("rising", 1)) == at("flat", 1)
    assert both.owner(at("rising", 2)) == at("rising", 2)


# ---- who draws, what training starts from ----


def test_rest_grows_once_for_two_improve_steps_and_begins_with_sft() -> None:
    study = walk({"sft": "sft", "rest": {"method": "rest", "sft": "sft"}})
    draws = [study.e_step(at("rest", i)) for i in (1, 2, 3, 4)]
    assert [d.policy for d in draws if d] == [at("sft")] * 2 + [at("rest", 2)] * 2
    assert [study.start(at("rest", i)) for i in (1, 2, 3)] == [
        at("sft"), at("rest", 1), at("rest", 2)
    ]  # fmt: skip
    thresholds = [study.selection(at("rest", i)).threshold for i in (1, 2, 3, 4)]
    assert thresholds == [0.0, 0.7, 0.0, 0.7]
    assert study.selection(at("rest", 1)).human == "careful"


def test_rft_draws_from_sft_and_trains_the_base() -> None:
    study = walk({"sft": "sft", "rft": {"method": "rft", "sft": "sft"}})
    draws = study.e_step(at("rft"))
    assert draws is not None
    assert draws.policy == at("sft")
    assert study.start(at("rft")) == study.base("S")


def test_star_tries_again_with_a_hint_where_the_first_try_failed() -> None:
    study = walk({"star": {"method": "star", "iterations": 2}})
    plain, hinted = study.feeds(at("star", 2))
    assert (plain.label, hinted.label) == ("greedy", "greedy+hint-greedy-1")
    assert plain.policy == hinted.policy == at("star", 1)
    assert study.first_try(hinted) == plain
    assert study.first_try(plain) is None
    assert study.samples_settings(hinted)["hint"] is True
    steps = [study.policy_settings(at("star", i))["training"]["steps"] for i in (1, 2)]
    assert steps == [40, 48]


def test_batches_move_through_the_problems() -> None:
    study = walk({"raft": "raft"})
    windows = [study.feeds(at("raft", i))[0].window for i in (1, 2, 3)]
    assert windows == [(0, 1024), (1024, 1024), (2048, 1024)]


def test_trice_looks_back_over_all_iterations_youngest_first() -> None:
    study = walk({"trice": "trice"})
    ages = [(source.age, source.draws.policy) for source in study.sources(at("trice", 3))]
    assert ages == [(0, at("trice", 2)), (1, at("trice", 1)), (2, study.base("S"))]


def test_distillation_draws_from_the_teachers_last_iteration_and_trains_the_students_base() -> None:
    models = {
        "S": {"source": {"kind": "embedded", "size": "S"}},
        "L": {"source": {"kind": "embedded", "size": "L"}},
    }
    teacher = {"model": "L", "variant": "em"}
    distill = {"method": "distill", "models": ["S"], "teacher": teacher}
    study = walk({"em": {"method": "rest-em", "models": ["L"]}, "d": distill}, models=models)
    draws = study.e_step(at("d"))
    assert draws is not None
    assert draws.policy == Policy("chain", "L", "em", 0, 3)
    assert study.start(at("d")) == study.base("S")


def test_matched_methods_read_the_base_draws_to_know_which_problems() -> None:
    study = walk({"sft5": "sft-matched", "em5": "rest-em-matched"})
    assert study.examples_settings(at("sft5"))["sources"] == [["reference", 0]]
    reference = study.sources(at("em5", 3))[-1]
    assert (reference.name, reference.draws.policy) == ("reference", study.base("S"))


def test_weights_are_interpolated_between_the_base_and_the_fine_tuned() -> None:
    study = walk({"em": "rest-em", "wise": {"method": "wise-ft", "sft": "em"}})
    assert study.start(at("wise")) == at("em", 3)
    assert study.averaged_with(at("wise")) == [study.base("S")]


def test_a_search_knows_its_settings_and_its_verifier() -> None:
    study = walk({"beam": "exit-beam"})
    draws = study.e_step(at("beam", 1))
    assert draws is not None
    settings = study.samples_settings(draws)
    assert settings["search"]["beams"] == 2
    assert settings["verifier"] == "math"


# ---- every stage understands its slice ----


def test_every_stage_reads_the_settings_of_every_method() -> None:
    study = StudyGraph(load_study(copy.deepcopy(ZOO), CONFIG))
    for trained in study.trained:
        examples.Settings.model_validate(study.examples_settings(trained))
        policy.Settings.model_validate(study.policy_settings(trained))
        for draws in study.feeds(trained):
            settings = samples.Settings.model_validate(study.samples_settings(draws))
            assert settings.search == draws.search


def test_a_curriculum_samples_first_with_what_was_trained_on_another_task() -> None:
    easy = {"method": "rest-em", "task": "easy-chain", "iterations": 2}
    hard = {"method": "rest-em", "sft": "easy", "changes": {"initial": "sft"}}
    tasks = {**ZOO["tasks"], "easy-chain": {"module": "chain", **ZOO["tasks"]["chain"]}}
    study = walk({"easy": easy, "hard": hard}, tasks=tasks)
    assert study.generator(at("hard")) == Policy("easy-chain", "S", "easy", 0, 2)
    assert study.generator(at("hard", 2)) == at("hard")
    assert study.start(at("hard")) == study.start(at("hard", 2)) == study.base("S")


# ---- what does not fit is refused ----

EM = {"model": "S", "variant": "em"}


@pytest.mark.parametrize(
    ("variants", "expected"),
    [
        ({"rest": "rest"}, "variants.rest.sft: method 'rest' needs one"),
        ({"d": "distill"}, "variants.d.teacher: method 'distill' needs one"),
        ({"em": {"method": "rest-em", "sft": "em"}}, "has no use for it"),
        ({"rest": {"method": "rest", "sft": "stf"}, "sft": "sft"}, "did you mean 'sft'?"),
        ({"rest": {"method": "rest", "sft": "rest"}}, "it is its own ancestor"),
        ({"d": {"method": "distill", "teacher": {"model": "X"}}}, "'X' is not defined"),
        (
            {"em": "rest-em", "d": {"method": "distill", "teacher": {**EM, "iteration": 9}}},
            "the last iteration of 'em' is 3",
        ),
    ],
)  # fmt: skip
def test_ancestors_that_are_missing_are_told(variants: dict[str, Any], expected: str) -> None:
    with pytest.raises(RestemError, match="what to do") as failure:
        walk(variants)
    assert expected in str(failure.value)


@pytest.mark.parametrize(
    "method",
    [
        {"e_step": {"decoding": "explore"}, "selection": {"quota": "difficulty", "cap": None}},
        {"e_step": {"decoding": "explore"}, "selection": {"weight": "control_variate"}},
        {"e_step": {"decoding": "explore"}, "selection": {"threshold": []}},
        {"e_step": {"decoding": "explore", "batch": 4, "search": {}}},
        {"m_step": {"kind": "interpolate"}, "selection": {"model_data": False}},
        {"initial": "sft", "m_step": {"kind": "interpolate"}, "e_step": {"decoding": "explore"}},
    ],
    ids=str,
)
def test_knobs_that_contradict_each_other_are_refused(method: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Value error"):
        Method.model_validate(method)
