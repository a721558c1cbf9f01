"""The experiments of the paper: one definition for all scales, shared work, presets as tables."""

import copy
import importlib
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from restem.accounts.costs import Use
from restem.config.claims import Claim
from restem.config.load import load_published, load_study, presets
from restem.config.method import Method
from restem.errors import RestemError
from restem.pages.methods import markdown, properties
from restem.stages import figure
from restem.statistics.evaluation import summarise
from restem.study import sharing as uses
from restem.study import slices
from restem.study.addresses import Policy
from restem.study.graph import StudyGraph
from restem.study.sharing import groups, policies_of, sharing

CONFIG = Path(__file__).parents[3] / "config"
OPEN = ("olmo2", "llama3.2", "qwen2.5")
STUDIES = ("mini", *OPEN)
PUBLISHED = load_published(CONFIG)


def stated(name: str) -> dict[str, Any]:
    study: dict[str, Any] = yaml.safe_load((CONFIG / "paper" / f"{name}.yaml").read_text())
    return study


def walk(name: str, **changes: Any) -> StudyGraph:
    return StudyGraph(load_study({**copy.deepcopy(stated(name)), **changes}, CONFIG), PUBLISHED)


@pytest.fixture(scope="module")
def mini() -> StudyGraph:
    return walk("mini")


# ---- one definition, several scales ----


def test_every_scale_runs_the_same_experiments() -> None:
    mini, *others = (stated(name)["experiments"] for name in STUDIES)
    assert all(other == mini for other in others)
    assert set(mini) == {path.stem for path in (CONFIG / "paper" / "experiments").glob("*.yaml")}
    for name in STUDIES:
        assert set(stated(name)["models"]) - {"S-code", "L-code", "S-logic"} == {"S", "L"}


@pytest.mark.parametrize("name", STUDIES)
def test_every_scale_is_valid_and_trains_the_same_variants(name: str, mini: StudyGraph) -> None:
    trained = [
        {variant: stated.model_copy(update={"models": None}) for variant, stated in of.items()}
        for of in (mini.study.variants, walk(name).study.variants)
    ]
    assert trained[0] == trained[1]


@pytest.mark.parametrize("name", STUDIES)
def test_what_is_trained_on_human_solutions_alone_is_a_reference(name: str) -> None:
    """Figures show references as levels, and lifts over them are estimated."""
    study = walk(name).study
    methods = {variant: study.method_of(variant) for variant in study.variants}
    by_hand = {v for v, m in methods.items() if m.m_step.kind == "fine_tune" and not m.e_step}
    assert by_hand == set(study.references)


@pytest.mark.parametrize("name", OPEN)
def test_models_are_pinned_to_a_commit(name: str) -> None:
    for model in stated(name)["models"].values():
        assert len(model["source"]["revision"]) == 40
        assert "Instruct" not in model["source"]["id"]


def test_one_name_means_one_thing() -> None:
    clash = {"rest-em": {"method": "rest-em", "task": "math", "iterations": 1}}
    with pytest.raises(RestemError, match="is defined differently elsewhere"):
        walk("mini", variants=clash)


# ---- sharing ----


def test_nothing_is_drawn_or_trained_twice(mini: StudyGraph) -> None:
    recipes = [mini.identity(policy) for policy in mini.trained]
    assert len(recipes) == len(set(recipes))
    addresses = [draws.path for draws in mini.sampled()]
    assert len(addresses) == len(set(addresses))


def test_sharing_saves_what_it_says(mini: StudyGraph) -> None:
    counts = sharing(mini)
    assert counts["fine-tunings"]["shared"] == len(mini.trained) < len(mini.stated)
    assert len(mini.stated) < counts["fine-tunings"]["by itself"]
    assert counts["sampling runs"]["shared"] < counts["sampling runs"]["by itself"]
    assert counts["evaluations"]["shared"] < counts["evaluations"]["by itself"]


def test_an_experiment_by_itself_needs_what_its_variants_and_their_ancestors_need() -> None:
    """F8L: four variants of one iteration, one model, one sampling run each, none shared."""
    counts = sharing(walk("mini", experiments=["F8L"], claims=[], seeds=[0]))
    assert counts["fine-tunings"] == {"by itself": 4, "shared": 4}
    assert counts["sampling runs"] == {"by itself": 4, "shared": 1}
    assert counts["evaluations"] == {"by itself": 5, "shared": 5}


def test_all_questions_one_iteration_and_no_noise_are_the_first_iteration(mini: StudyGraph) -> None:
    shared = {policy.variant: owner.variant for owner, policy in mini.aliases}
    assert shared["questions-100"] == shared["noise-0"] == "rest-em"


def test_an_experiment_alone_trains_the_same_policies(mini: StudyGraph) -> None:
    alone = walk("mini", experiments=["F2"], claims=[])
    for policy in alone.trained:
        assert alone.identity(policy) == mini.identity(policy)
        assert alone.policy_settings(policy) == mini.policy_settings(policy)


# ---- no test problem in selection or stopping ----


@pytest.mark.parametrize("name", STUDIES)
def test_no_test_problem_enters_selection_or_stopping(name: str) -> None:
    study = walk(name)
    for policy in study.trained:
        assert {draws.split for draws in study.feeds(policy)} <= {"train"}
        settings = str(study.policy_settings(policy)) + str(study.examples_settings(policy))
        assert "'test'" not in settings
    rules = "".join(p.read_text() for p in (CONFIG.parent / "rules").glob("*.smk"))
    for rule in ("select_examples", "make_policy", "make_policy"):
        inputs = rules.split(f"rule {rule}:")[1].split("output:")[0]
        assert "test" not in inputs
        assert "{split}" not in inputs


# ---- figures, marks, claims, ledger ----


def test_every_figure_has_settings_and_marks_are_cited(mini: StudyGraph) -> None:
    for name in slices.figures_of_experiments(mini):
        settings = slices.figure(mini, SimpleNamespace(figure=name))
        assert settings["marks"] == []  # the embedded tasks are not the paper's
    for entry in PUBLISHED["entries"].values():
        assert set(entry) == {"task", "value", "label", "source"}
        assert 0 < entry["value"] < 1


def test_marks_are_drawn_beside_the_same_task_only() -> None:
    settings = slices.figure(walk("qwen2.5"), SimpleNamespace(figure="N1"))
    assert [mark["value"] for mark in settings["marks"]] == [0.4402, 0.4882]
    assert settings["unmarked"] == 0


def test_every_stage_understands_what_it_is_given(mini: StudyGraph) -> None:
    names = ("summary", "breakdown", "claims", "ledger", "table", "methods", "changes", "page")
    for name in names:
        stage: Any = importlib.import_module(f"restem.stages.{name}")
        stage.Settings.model_validate(getattr(slices, name)(mini, None))
    for name in slices.figures_of_experiments(mini):
        figure.Settings.model_validate(slices.figure(mini, SimpleNamespace(figure=name)))


def test_shares_on_the_x_axis_are_those_that_the_variants_state(mini: StudyGraph) -> None:
    noise = slices.figure(mini, SimpleNamespace(figure="X1"))["options"]["x"]
    assert noise == {"noise-0": 0.0, "noise-10": 0.1, "noise-30": 0.3, "noise-50": 0.5}


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("mini", {}, [14, 29, 57, 100]),
        ("qwen2.5", {}, [1000, 2000, 4000, 7000]),  # as in the paper
        ("qwen2.5", {"levels": [1, 2]}, [0.142857, 0.285714, 0.571429, 1.0]),  # not known before
    ],
)
def test_the_number_of_questions_is_on_the_x_axis_where_it_is_known(
    name: str, changes: dict[str, Any], expected: list[float]
) -> None:
    tasks = copy.deepcopy(stated(name)["tasks"])
    tasks["math"]["data"] |= changes
    options = slices.figure(walk(name, tasks=tasks), SimpleNamespace(figure="F8L"))["options"]
    assert list(options["x"].values()) == expected
    assert options.get("counts", False) == (expected[-1] > 1)


def test_an_unknown_figure_is_refused_with_the_nearest(mini: StudyGraph) -> None:
    with pytest.raises(RestemError, match="did you mean 'F8"):
        slices.figure(mini, SimpleNamespace(figure="F8"))


def test_the_ledger_knows_everything_that_it_sums_once(mini: StudyGraph) -> None:
    settings = slices.ledger(mini, None)
    addresses = [SimpleNamespace(**vars(policy)) for policy in policies_of(mini)]
    counted = [slices.costs(mini, address) for address in addresses]
    known = [name for costs in counted for name in (costs["policy"], *costs["draws"])]
    groups = settings["groups"]
    used = {use["path"] for named in groups.values() for uses in named.values() for use in uses}
    assert used == set(known)
    assert len(known) == len(set(known))
    assert set(groups["experiment"]) == set(mini.study.experiments)


def test_listing_all_costs_looks_at_each_policy_once(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, looked = walk("mini"), Counter[Policy]()
    look = uses.looked_at

    def count(found: StudyGraph, policy: Policy) -> list[Use]:
        looked[policy] += 1
        return look(found, policy)

    monkeypatch.setattr(uses, "looked_at", count)
    for policy in policies_of(graph):
        slices.costs(graph, SimpleNamespace(**vars(policy)))
    assert looked == Counter(graph.trained)


def used_draws(graph: StudyGraph, name: str) -> dict[str, tuple[int | None, float]]:
    """Return draws and share of problems that a policy of the ledger pays for, by address."""
    uses = groups(graph)["policy"][name]
    return {use.path: (use.draws, use.problem_share) for use in uses if "/train/" in use.path}


def test_a_policy_pays_for_the_draws_that_it_looked_at(mini: StudyGraph) -> None:
    """The pool of the base model holds 36 draws a problem; the first iteration looks at 12."""
    pool = mini.feeds(mini.last("three-times", "L", 0))[0]
    assert mini.count(pool) == 36
    assert used_draws(mini, "L/rest-em/1") == {pool.path: (12, 1.0)}
    assert used_draws(mini, "L/three-times/1") == {pool.path: (None, 1.0)}


def test_a_policy_pays_for_the_problems_that_it_looked_at(mini: StudyGraph) -> None:
    [(draws, share)] = used_draws(mini, "L/questions-14/1").values()
    assert (draws, share) == (12, 0.142857)


def test_an_experiment_pays_for_its_own_evaluations(mini: StudyGraph) -> None:
    paths = [use.path for use in groups(mini)["experiment"]["F2"]]
    assert any("/base/" in path and "/math/test/greedy" in path for path in paths)
    assert not any("/nucleus/" in path or "/vote/" in path for path in paths)


@pytest.mark.parametrize("name", OPEN)
def test_shards_by_the_dozen_give_no_job_a_thousand_inputs_but_for_the_targets(name: str) -> None:
    plan = walk(name, shards={"train": 16, "test": 32})
    longest = max(
        sum(len(plan.shards(draws.split)) for draws in plan.sampled_from(policy))
        for policy in policies_of(plan)
    )
    assert max(longest, len(policies_of(plan)), len(plan.evaluations())) < 1000


def test_a_policy_costs_what_its_ancestors_cost(mini: StudyGraph) -> None:
    by_name = groups(mini)["policy"]
    paths = {name: {use.path for use in uses} for name, uses in by_name.items()}
    assert paths["S/rest-em/1"] < paths["S/rest-em/2"] < paths["S/rest-em/3"]
    assert any("/L/" in path for path in paths["S/distill/1"])
    assert len(by_name["S/base"]) == 1
    assert slices.ledger(mini, None)["aliases"]["S/rest-em/last"] == "S/rest-em/3"


def test_every_claim_names_policies_that_some_experiment_trains(mini: StudyGraph) -> None:
    files = (CONFIG / "paper" / "experiments").glob("*.yaml")
    known = {name for path in files for name in yaml.safe_load(path.read_text())["variants"]}
    for claim in slices.claims(mini, None)["claims"]:
        for test in claim["tests"]:
            for side in (*test["plus"], *test.get("minus", [])):
                variant = side.split("@")[0].split("/")[1]
                assert variant in known | {"base"}, claim["id"]


def test_claims_are_tested_on_what_the_tiny_study_measures(mini: StudyGraph) -> None:
    measured: set[tuple[str, ...]] = {
        (f"{d.policy.model}/{d.policy.variant}", d.task, d.split, d.decoding)
        for evaluation in mini.study.evaluations
        for d in mini.evaluated(evaluation)
    }
    owned = {(f"{p.model}/{p.variant}", f"{o.model}/{o.variant}") for o, p in mini.aliases}
    measured |= {(name, *rest) for name, owner in owned for of, *rest in measured if of == owner}
    missing = set()
    for claim in mini.study.tested_claims:
        for test in claim.tests if claim.quantity != "false_positives" else ():
            for side in (*test.plus, *test.minus):
                policy, _, split = side.partition("@")
                name = "/".join(policy.split("/")[:2])
                decoding = claim.decoding or "greedy"
                asked = (name, test.task or claim.task, split or claim.split, decoding)
                if asked not in measured:
                    missing.add(claim.id)
    # The tiny model that writes programs can do nothing else.
    assert missing == {"F9-apps-no-task-degrades", "F9-apps-cot", "F9-apps-direct"}


def test_a_model_of_claims_is_replaced_on_its_task_alone() -> None:
    test = {"plus": ["L/v/last"], "minus": ["L/base"]}
    claim = Claim.model_validate(
        {"id": "X", "says": "So.", "where": "here", "task": "apps"}
        | {"tests": [test, {**test, "task": "math"}]}
    )
    here, elsewhere = claim.tested_with({"apps": {"L": "T"}}).tests
    assert (here.plus, here.minus) == (["T/v/last"], ["T/base"])
    assert (elsewhere.plus, elsewhere.minus) == (["L/v/last"], ["L/base"])
    assert claim.tested_with({}) == claim


@pytest.mark.parametrize(
    ("claim_models", "expected"),
    [
        ({"app": {"L": "S-code"}}, "claim_models: 'app' is not defined; did you mean 'apps'?"),
        ({"apps": {"L": "S-cod"}}, "claim_models.apps: 'S-cod' is not defined; did you mean"),
        ({"apps": {"L": "S"}}, "claim_models.apps: 'S' is not defined"),  # not for this task
    ],
)
def test_a_model_of_claims_must_exist(claim_models: dict[str, Any], expected: str) -> None:
    with pytest.raises(RestemError, match=re.escape(expected)):
        walk("mini", claim_models=claim_models)


def claim_of(name: str, claim_id: str) -> Claim:
    [claim] = [claim for claim in walk(name).study.tested_claims if claim.id == claim_id]
    return claim


@pytest.mark.parametrize("name", OPEN)
def test_claims_reach_the_largest_k_that_the_study_draws(name: str) -> None:
    assert claim_of(name, "F5-every-k").tests[0].k == [1, 2, 4, 8, 10, 16, 32, 64]
    assert [test.less_k for test in claim_of(name, "F5-largest-at-1").tests] == [
        *(2, 4, 8, 10, 16, 32, 64)
    ]
    assert claim_of(name, "N1-vote").tests[0].k == [64]


def test_claims_ask_for_no_more_than_the_tiny_study_draws() -> None:
    assert claim_of("mini", "F5-every-k").tests[0].k == [1, 2, 4, 8, 10, 16]
    assert claim_of("mini", "N1-vote").tests[0].k == [16]


def test_both_sizes_are_tested_on_apps_and_humaneval(mini: StudyGraph) -> None:
    [gain] = [claim for claim in mini.study.tested_claims if claim.id == "F3-gain"]
    sides = {(test.plus[0].split("/")[0], test.task or gain.task) for test in gain.tests}
    assert sides == {(m, t) for m in ("S-code", "L-code") for t in ("apps", "humaneval")}
    assert gain.paper is not None
    assert "HumanEval" not in gain.paper  # +5.6 and +6.4 are of APPS (section 5.1)


def test_pass_at_k_of_programs_ends_at_10_on_apps(mini: StudyGraph) -> None:
    """Figure 5: HumanEval and MATH to K = 64, APPS to K = 10."""
    claim = claim_of("mini", "F5-code-every-k")
    by_task = {test.task or claim.task: test.k for test in claim.tests}
    assert by_task == {"humaneval": [1, 2, 4, 8, 10, 16], "apps": [1, 2, 4, 8, 10]}
    shown = slices.figure(mini, SimpleNamespace(figure="F5"))
    assert shown["kept"]["task"] == shown["options"]["order"] == ["humaneval", "apps", "math"]
    assert shown["options"]["most_k"] == {"apps": 10}


PAPERS_MODELS = {  # of the figures that show one size in the paper (arXiv 2312.06585v4)
    **dict.fromkeys(("F4", "F4-code", "F5", "F6L", "F8L", "F8R", "F9", "F10", "N1", "N2"), "L"),
    **dict.fromkeys(("F6R", "F7"), "S"),
}


@pytest.mark.parametrize("name", STUDIES)
def test_a_figure_shows_the_size_that_the_paper_shows(name: str) -> None:
    graph = walk(name)
    for figure_name, size in PAPERS_MODELS.items():
        kept = slices.figure(graph, SimpleNamespace(figure=figure_name))["kept"]
        names = graph.study.claim_models
        expected = {names.get(task, {}).get(size, size) for task in kept["task"]}
        assert set(kept["model"]) == expected, figure_name


def test_what_the_paper_trains_on_one_size_is_trained_on_one(mini: StudyGraph) -> None:
    models = {name: mini.study.variants[name].models for name in ("code-rest-last", "questions-14")}
    assert models == {"code-rest-last": ["S-code"], "questions-14": ["L"]}


def test_general_capability_is_averaged_over_tasks_and_asked_of_each() -> None:
    claims = {c.id: c for c in walk("qwen2.5").study.tested_claims if c.id.startswith("F9")}
    groups = {
        name: {test.group.name for test in c.tests if test.group} for name, c in claims.items()
    }
    assert groups == {
        "F9-capability": {"mean"}, "F9-no-task-degrades": {"each"}, "F9-cot": {"mean"},
        "F9-direct": {"mean"}, "F9-apps-no-task-degrades": {"each"}, "F9-apps-cot": {"mean"},
        "F9-apps-direct": {"mean"},
    }  # fmt: skip
    assert all(len(test.plus) == 1 and test.group for c in claims.values() for test in c.tests)


# ---- items of the paper and cited numbers ----


def test_every_item_of_the_paper_has_an_experiment_or_says_where_it_is() -> None:
    items = PUBLISHED["items"]
    experiments = walk("mini").study.experiments.values()
    named = {experiment.item for experiment in experiments if experiment.item}
    assert named == {name for name, item in items.items() if "here" not in item}
    assert {f"Figure {i}" for i in range(1, 11)} | {"Table 1"} <= set(items)


def test_cited_numbers_have_a_source_and_stand_apart(mini: StudyGraph) -> None:
    cited = {
        name: slices.figure(mini, SimpleNamespace(figure=name)).get("cited", {})
        for name in slices.figures_of_experiments(mini)
    }
    assert {name for name, of in cited.items() if of} == {"F1", "F10"}
    assert [of["title"] for of in cited["F1"].values()] == ["MATH, 4-shot", "HumanEval, 0-shot"]
    for of_figure in cited.values():
        for numbers in of_figure.values():
            for point in numbers["points"]:
                assert 0 < point["value"] < 1
                assert point["source"] in PUBLISHED["sources"].values()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"cited": {"math": "mth"}}, "'mth' is not in config/paper/published.yaml; did you mean"),
        ({"cited": {"mat": "math"}}, "task 'mat' is not defined; did you mean 'math'?"),
        (
            {"cited": {"math": "math"}, "module": "by_share", "options": {}},
            "figure by_share shows no cited numbers",
        ),
    ],
)
def test_cited_numbers_that_cannot_be_shown_are_refused(
    change: dict[str, Any], expected: str
) -> None:
    graph = walk("mini")
    shown = graph.study.experiments["F1"].figures["F1"].model_copy(update=change)
    experiment = graph.study.experiments["F1"].model_copy(update={"figures": {"F1": shown}})
    experiments = {**graph.study.experiments, "F1": experiment}
    with pytest.raises(RestemError, match=re.escape(expected)):
        StudyGraph(graph.study.model_copy(update={"experiments": experiments}), PUBLISHED)


def test_votes_are_grouped_by_the_verifier_where_a_study_counts_them(mini: StudyGraph) -> None:
    of = {d.decoding: d for d in mini.evaluations() if (d.task, d.split) == ("math", "test")}
    place = SimpleNamespace(on="math", split="test", draw_seed=0, **vars(of["vote"].policy))
    stated = {}
    for decoding in ("vote", "greedy"):
        place.decoding = decoding
        stated[decoding] = slices.metrics(mini, place).get("verifier")
    assert stated == {"vote": "math", "greedy": None}
    assert importlib.import_module("restem.stages.metrics").run.lock == "data"  # it has sympy


def test_three_times_the_draws_are_tested_at_both_caps(mini: StudyGraph) -> None:
    [claim] = [claim for claim in mini.study.tested_claims if claim.id == "N2-three-times"]
    variants = [test.minus[0].split("/")[1] for test in claim.tests]
    caps = {name: mini.study.method_of(name).selection.cap for name in variants}
    assert caps == {"three-times-cap-30": 30, "three-times": 10}
    assert claim.paper is not None
    assert "cap" in claim.says


@pytest.mark.parametrize("name", STUDIES)
def test_rationalised_solutions_are_compared_on_the_same_problems(name: str) -> None:
    claim = claim_of(name, "N3-rationalisation")
    sides = [(test.plus, test.minus, test.same_problems) for test in claim.tests]
    assert sides == [
        ([f"{m}/star/all@rationalised"], [f"{m}/rest-em/all@first-try"], True) for m in "SL"
    ]


# ---- table 1 ----

TABLE_1 = {  # rest-em, rest, star, rft: arXiv 2312.06585v4, table 1
    "starts from a fine-tuned model": "✗✓✗✗",
    "uses rationalisations for unsolved questions": "✗✗✓✗",
    "temperature sampling for exploration": "✓✓✗✓",
    "multiple iterations": "✓✓✓✗",
}


def test_table_1_follows_from_the_presets(mini: StudyGraph) -> None:
    methods = {n: Method.model_validate(m) for n, m in presets(CONFIG / "methods").items()}
    temperatures = slices.methods(mini, None)["temperatures"]
    by_method = {
        n: properties(methods[n], temperatures) for n in ("rest-em", "rest", "star", "rft")
    }
    for name, row in TABLE_1.items():
        assert "".join(by[name] for by in by_method.values()) == row, name
    base = [by["fine-tunes from the base model in each iteration"] for by in by_method.values()]
    assert base == ["✓", "✗", "✓", "n/a"]


def test_the_table_has_every_preset_and_marks_what_is_cited(mini: StudyGraph) -> None:
    settings = slices.methods(mini, None)
    methods = {n: Method.model_validate(m) for n, m in settings["methods"].items()}
    text = markdown(methods, settings["temperatures"], settings["cited"])
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in lines[2:6]] == [
        "| rest-em",
        "| rest",
        "| star",
        "| rft",
    ]
    assert len(lines) == 2 + len(methods)
    assert text.count("(cited)") == len(settings["cited"]) + 1
    assert {line.count(" | ") for line in lines} == {7 + len(settings["cited"])}


def test_summaries_of_votes_are_made_where_they_are_asked_for(mini: StudyGraph) -> None:
    rows = [
        {"task": "math", "split": "test", "model": "S", "variant": "base", "seed": 0, "k": None}
        | {
            "iteration": 0,
            "decoding": "vote",
            "greedy": False,
            "problem_id": f"p{i}",
            "draws": 16,
            "correct": 8,
        }
        | {"halted": None, "choices": " ".join(["0"] * 9 + ["1"] * 7), "right": "0"}
        for i in range(4)
    ]
    estimates = {row["quantity"]: row["estimate"] for row in summarise(rows, mini.study.metrics)}
    assert estimates["maj@16"] == 1.0
    assert estimates["pass@1"] == 0.5
