"""Artifacts whose recipes differ have different addresses, whatever else a study states."""

import copy
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from restem.artifacts.digests import digest
from restem.config.load import load_study
from restem.config.steps import Search
from restem.config.study import Study
from restem.study.addresses import BASE, HINT, Draws, Policy
from restem.study.graph import StudyGraph
from restem.study.policy_graph import MODEL
from tests.unit.study.test_graph import STUDY, at, variant, walk
from tests.unit.study.test_presets import CONFIG, ZOO

DECODINGS = {
    "greedy": {"draws": 1, "temperature": 0, "max_tokens": 8},
    "explore": {"draws": 4, "temperature": 0.7, "max_tokens": 8},
    "more-2": {"draws": 6, "temperature": 1.0, "max_tokens": 8},
}
SFT = {"selection": {"model_data": False, "human": "terse"}}


class Recipes:
    """What decides every artifact of a study, as far as the graph tells the stages."""

    def __init__(self, graph: StudyGraph) -> None:
        self.graph = graph
        self._known: dict[Any, dict[str, Any]] = {}

    def of(self, address: Policy | Draws) -> dict[str, Any]:
        """Return the recipe at an address; in it, digests stand for other artifacts' recipes."""
        if address not in self._known:
            is_policy = isinstance(address, Policy)
            self._known[address] = self._policy(address) if is_policy else self._draws(address)
        return self._known[address]

    def _named(self, address: Policy | Draws) -> str:
        return digest(self.of(address))

    def _draws(self, draws: Any) -> dict[str, Any]:
        stated = self.graph.samples_settings(draws)
        stated["decoding"] = {k: v for k, v in stated["decoding"].items() if k != "draws"}
        first = self.graph.first_try(draws)
        before = first and self._named(first)
        return {"stated": stated, "policy": self._named(draws.policy), "first try": before}

    def _policy(self, policy: Any) -> dict[str, Any]:
        if policy.variant == BASE:
            return self.graph.base_settings(policy.model)
        stated, feeds = self.graph.examples_settings(policy), self.graph.feeds(policy)
        counts = [self.graph.count(draws) for draws in feeds]
        return {
            "drawn": list(map(min, stated.pop("drawn", counts), counts)),
            "examples": stated,
            "feeds": [self._named(draws) for draws in feeds],
            "start": self._named(self.graph.start(policy)),
            "training": self.graph.policy_settings(policy),
        }


# ---- random studies ----


def some(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw a mapping in which each key may be missing."""
    return st.fixed_dictionaries({}, optional=values)


searches = st.fixed_dictionaries({"beams": st.sampled_from((1, 2))}, optional={
    "rollouts": st.just(3), "step_tokens": st.sampled_from((2, 4)), "expansions": st.just(3),
})  # fmt: skip
E_STEP = {
    "decoding": st.sampled_from(("greedy", "explore")),
    "generator": st.sampled_from(("base", "last", "teacher")),
    "every": st.sampled_from((1, 2)),
    "batch": st.sampled_from((2, 3)),
    "hint": st.sampled_from(("greedy", "more-2")),
    "search": searches,
}
E_STEP_KEYS = {  # a search goes with neither batch nor hint
    "plain": ("decoding", "generator", "every", "batch"),
    "hint": ("decoding", "generator", "every", "batch", "hint"),
    "search": ("decoding", "generator", "every", "search"),
}
selections = some(
    draws=st.sampled_from((1, 2, 8)),
    times=st.just(2),
    accumulate=st.sampled_from((2, "all")),
    problems=st.just(3),
    human=st.just("terse"),
    cap=st.just(2),
)
OTHER_KEYS = {
    "selection": selections,
    "iterations": st.integers(1, 3),
    "start": st.just("last"),
    "initial": st.just("sft"),
    "solved_by_base": st.sampled_from(("explore", "more-2")),
    "m_step": st.sampled_from(({"kind": "shots", "shots": 2}, {"kind": "prompt", "shots": 2})),
    "steps": st.just({"first": 3}),
    "training": st.just({"patience": 3}),
}


@st.composite
def similar_methods(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw methods that differ in few keys, so that much of their work could be taken for one."""
    kind = draw(st.sampled_from(sorted(E_STEP_KEYS)))
    e_step = {key: E_STEP[key] for key in E_STEP_KEYS[kind]}
    needed = {key: e_step[key] for key in e_step if key in ("decoding", kind)}
    optional = {key: e_step[key] for key in e_step if key not in needed}
    first = draw(some(**OTHER_KEYS))
    first["e_step"] = draw(st.fixed_dictionaries(needed, optional=optional))
    others = []
    for _ in range(draw(st.integers(0, 2))):
        key = draw(st.sampled_from([*e_step, "selection", *OTHER_KEYS]))
        if key in e_step:
            changed = {"e_step": {**first["e_step"], key: draw(e_step[key])}}
        else:
            changed = {key: draw(OTHER_KEYS[key])}
        others.append({**first, **changed})
    return [first, *others]


@st.composite
def studies(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a study of several variants; methods repeat, so that some of their work is shared."""
    stated = draw(similar_methods())
    named = {f"m{number}": method for number, method in enumerate(stated)}
    variants: dict[str, Any] = {"sft": variant("sft")}
    for number in range(draw(st.integers(2, 3))):
        method = draw(st.sampled_from(sorted(named)))
        more: dict[str, Any] = {"sft": "sft"} if "initial" in named[method] else {}
        if named[method]["e_step"].get("generator") == "teacher":
            taught = draw(st.sampled_from(sorted(variants)))
            more["teacher"] = {"model": "S", "variant": taught}
        iterations = draw(st.none() | st.integers(1, 3))
        variants[f"v{number}"] = variant(method, iterations=iterations, **more)
    evaluations = [
        {"task": "chain", "split": split, "decoding": decoding}
        for split, decoding in (("test", "greedy"), ("train", "explore"))
    ]
    return {
        **copy.deepcopy(STUDY),
        "models": {"S": STUDY["models"]["S"]},
        "decodings": DECODINGS,
        "methods": {"sft": SFT, **named},
        "variants": variants,
        "seeds": draw(st.sampled_from(([0], [0, 1], [3]))),
        "evaluations": evaluations,
    }


def alone(study: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a study with one of its variants, and those that it builds on."""
    names, waiting = set[str](), [name]
    while waiting:
        names.add(name := waiting.pop())
        stated = study["variants"][name]
        parents = {stated.get("sft"), stated.get("teacher", {}).get("variant")}
        waiting += parents - names - {None}
    return {**study, "variants": {n: v for n, v in study["variants"].items() if n in names}}


def check_addresses(
    study: dict[str, Any], graph_of: Callable[[dict[str, Any]], StudyGraph]
) -> None:
    """Compare what each variant alone makes at an address with what the study makes there."""
    everything = Recipes(graph_of(study))
    for name in study["variants"]:
        one = Recipes(graph_of(alone(study, name)))
        for policy in one.graph.stated:
            owner = everything.graph.owner(policy)
            assert everything.of(owner) == one.of(one.graph.owner(policy)), policy
            for source in one.graph.sources(policy):
                address = in_study(everything.graph, source.draws)
                assert everything.of(address) == one.of(in_study(one.graph, source.draws)), address
        for draws in one.graph.evaluations():
            assert everything.of(in_study(everything.graph, draws)) == one.of(draws), draws


def graph_of(study: dict[str, Any]) -> StudyGraph:
    return StudyGraph(Study.model_validate(study))


def in_study(graph: StudyGraph, draws: Draws) -> Draws:
    """Return the address that a study has for completions of a stated policy."""
    return replace(draws, policy=graph.owner(draws.policy))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(studies())
def test_whoever_uses_an_address_wants_the_same_recipe(study: dict[str, Any]) -> None:
    check_addresses(study, graph_of)


def test_whoever_uses_an_address_wants_the_same_recipe_in_the_study_of_all_methods() -> None:
    check_addresses(ZOO, lambda study: StudyGraph(load_study(copy.deepcopy(study), CONFIG)))


@settings(max_examples=100, deadline=None)
@given(studies())
def test_hints_follow_what_is_drawn_for_the_same_policy(study: dict[str, Any]) -> None:
    graph = graph_of(study)
    for policy in graph.trained:
        sources = graph.sources(policy)
        for source in sources:
            if source.name != HINT:
                assert graph.first_try(source.draws) is None
                continue
            drawn = [s for s in sources if s.name == MODEL]  # solved_by_base may read them too
            [first] = [s for s in drawn if s.draws == graph.first_try(source.draws)]
            told = graph.samples_settings(in_study(graph, source.draws))
            assert (first.name, first.age) == (MODEL, source.age)
            assert told["first_try_draws"] == graph.wanted_draws(policy, first)
            assert source.draws.window == first.draws.window


@settings(max_examples=100, deadline=None)
@given(studies())
def test_a_path_tells_the_whole_address(study: dict[str, Any]) -> None:
    graph = graph_of(study)
    sampled = graph.sampled()
    assert len({draws.path for draws in sampled}) == len(sampled)
    for draws in sampled:
        names = {"on": draws.task, "split": draws.split, "decoding": draws.label}
        wildcards = SimpleNamespace(**vars(draws.policy), **names, draw_seed=str(draws.seed))
        assert Draws.of(wildcards) == draws


# ---- what the addresses say ----


def feeds(name: str, iteration: int = 1, seed: int = 0, **methods: Any) -> list[Draws]:
    graph = walk(
        methods=methods, variants={name: variant(name) for name in methods},
        decodings=DECODINGS, seeds=[0, 1],
    )  # fmt: skip
    return graph.feeds(at(name, iteration, seed))


def test_what_is_drawn_once_on_every_problem_has_no_suffix() -> None:
    [draws] = feeds("em", em={"e_step": {"decoding": "explore"}})
    assert draws.label == "explore"
    assert (draws.window, draws.search, draws.hint_after) == (None, None, None)


def test_searches_with_other_settings_have_other_addresses() -> None:
    few = {"e_step": {"decoding": "explore", "search": {"beams": 2, "rollouts": 3}}}
    many = {"e_step": {"decoding": "explore", "search": {"beams": 8}}}
    [first], [second] = feeds("few", few=few, many=many), feeds("many", few=few, many=many)
    assert (first.label, second.label) == ("explore+beam-2-4-3-16", "explore+beam-8-4-2-16")
    assert first.search == Search(beams=2, rollouts=3)
    graph = walk(
        methods={"few": few, "many": many}, decodings=DECODINGS,
        variants={"few": variant("few"), "many": variant("many")},
    )  # fmt: skip
    assert graph.samples_settings(second)["search"]["beams"] == 8


@pytest.mark.parametrize("key", Search.model_fields)
def test_every_setting_of_a_search_is_in_its_address(key: str) -> None:
    [draws] = feeds("beam", beam={"e_step": {"decoding": "explore", "search": {key: 7}}})
    assert draws.search == Search.model_validate({key: 7})


def test_a_hint_names_the_first_try_that_it_comes_after() -> None:
    star = {"e_step": {"decoding": "greedy", "hint": "greedy"}}
    more = {"e_step": {"decoding": "explore", "hint": "greedy"}, "selection": {"draws": 2}}
    both = {"star": star, "more": more}
    assert [d.label for d in feeds("star", **both)] == ["greedy", "greedy+hint-greedy-1"]
    first, hinted = feeds("more", **both)
    assert (first.label, hinted.label) == ("explore", "greedy+hint-explore-2")
    assert hinted.hint_after == ("explore", 2)


def test_a_hint_of_another_seed_comes_after_the_first_try_of_that_seed() -> None:
    method = {"e_step": {"decoding": "explore", "hint": "greedy"}}
    _, hinted = feeds("star", seed=1, star=method)
    graph = walk(methods={"star": method}, variants={"star": variant("star")}, seeds=[0, 1])
    first = graph.first_try(hinted)
    assert first is not None
    assert (first.label, first.seed, hinted.seed) == ("explore", 1, 1)


def test_a_hint_is_for_the_problems_of_its_batch() -> None:
    method = {"e_step": {"decoding": "greedy", "hint": "explore", "batch": 3}, "iterations": 2}
    graph = walk(methods={"star": method}, variants={"star": variant("star")}, seeds=[1])
    first, hinted = graph.feeds(at("star", 2, 1))
    assert hinted.label == "explore+hint-greedy-1+batch-3-3"
    assert graph.first_try(hinted) == first
    for draws in (first, hinted):
        assert draws.window == (3, 3)
        assert graph.samples_settings(draws)["window"] == [3, 3]
    told = graph.samples_settings(hinted)
    assert (told["hint"], told["first_try_draws"]) == (True, 1)


def test_a_search_counts_its_beams_as_draws() -> None:
    search = {"beams": 3}
    one = {"e_step": {"decoding": "greedy", "search": search}}
    two = {**one, "selection": {"times": 2}}
    graph = walk(
        methods={"one": one, "two": two}, decodings=DECODINGS, seeds=[0],
        variants={"one": variant("one"), "two": variant("two")},
    )  # fmt: skip
    assert graph.count(graph.feeds(at("one", 1))[0]) == 3
    assert "drawn" not in graph.examples_settings(at("one", 1))


@pytest.mark.parametrize("other", [{"batch": 2}, {"hint": "greedy"}])
def test_a_search_goes_alone(other: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="search goes with neither batch nor hint"):
        feeds("beam", beam={"e_step": {"decoding": "explore", "search": {}, **other}})
