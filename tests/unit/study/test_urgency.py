"""What the longest chain of M-steps waits for runs first, in every study."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings

from restem.config.load import load_study, read_yaml
from restem.study.addresses import Policy
from restem.study.graph import StudyGraph
from restem.study.urgency import Urgency
from tests.unit.study.test_addresses import graph_of, studies

CONFIG = Path(__file__).parents[3] / "config"


def shipped(name: str) -> StudyGraph:
    return StudyGraph(load_study(read_yaml(CONFIG / name), CONFIG))


def needed(graph: StudyGraph, policy: Policy) -> set[Policy]:
    """Return the policies that have to be there before a policy can be made."""
    generators = {draws.policy for draws in graph.feeds(policy)}
    return {graph.start(policy), *graph.averaged_with(policy), *generators}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(studies())
def test_what_others_wait_for_is_more_urgent_than_they_are(study: dict[str, object]) -> None:
    graph = graph_of(study)
    urgency = Urgency(graph)
    for policy in graph.trained:
        for before in needed(graph, policy):
            assert urgency.of_policy(before) > urgency.of_policy(policy)
        for draws in graph.feeds(policy):
            assert urgency.of_draws(draws) >= urgency.of_policy(policy)


def test_the_urgency_is_the_number_of_m_steps_that_follow_one_another() -> None:
    graph = shipped("demo.yaml")
    urgency = Urgency(graph)
    of = {(p.variant, p.iteration): urgency.of_policy(p) for p in graph.trained}
    terse_and_careful = {("sft-terse", 1): 1, ("sft-careful", 1): 1}
    assert of == {("rest-em", 1): 3, ("rest-em", 2): 2, ("rest-em", 3): 1} | terse_and_careful
    assert urgency.of_policy(graph.base("S")) == 4


def test_evaluations_wait_until_chains_need_nothing() -> None:
    graph = shipped("demo.yaml")
    fed = {draws for policy in graph.trained for draws in graph.feeds(policy)}
    only_evaluated = [draws for draws in graph.evaluations() if draws not in fed]
    assert only_evaluated
    assert not any(map(Urgency(graph).of_draws, only_evaluated))
