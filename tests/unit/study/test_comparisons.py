"""Whose solutions are compared: the main method's, on test problems, greedy where it can be."""

from pathlib import Path
from typing import Any

import pytest

from restem.config.load import load_study, read_yaml
from restem.study import slices
from restem.study.comparisons import MOST, comparisons, main_variants
from restem.study.graph import StudyGraph
from restem.study.page import compared, facts, figures_of_page

CONFIG = Path(__file__).parents[3] / "config"


def graph(name: str = "demo.yaml", **changes: Any) -> StudyGraph:
    return StudyGraph(load_study({**read_yaml(CONFIG / name), **changes}, CONFIG))


def paths(found: StudyGraph) -> list[tuple[str, str]]:
    return [(pair.before.path, pair.after.path) for pair in comparisons(found)]


def test_the_demo_compares_the_base_model_with_the_last_policy_of_rest_em() -> None:
    assert main_variants(graph()) == {"chain": "rest-em"}
    assert paths(graph(seeds=[3, 1])) == [
        (
            "pretrained/S/base/seed-0/iter-0/chain/test/greedy/seed-0",
            "chain/S/rest-em/seed-3/iter-3/chain/test/greedy/seed-0",
        )
    ]


def test_a_sampled_decoding_stands_in_for_a_greedy_one() -> None:
    evaluations = [
        {"task": "chain", "split": "train", "decoding": "greedy"},
        {"task": "story", "split": "test", "decoding": "greedy"},
        {"task": "chain", "split": "test", "decoding": "sampled", "iterations": "last"},
    ]
    found = paths(graph(evaluations=evaluations, figures=[]))
    assert [after for _, after in found] == [
        "chain/S/rest-em/seed-0/iter-3/chain/test/sampled/seed-0"
    ]


@pytest.mark.parametrize(
    "evaluation",
    [
        {"task": "chain", "split": "validation", "decoding": "greedy"},
        {"task": "story", "split": "test", "decoding": "greedy"},
        {"task": "chain", "split": "test", "decoding": "greedy", "variants": []},
        {"task": "chain", "split": "test", "decoding": "greedy", "variants": ["sft-terse"]},
    ],
)
def test_nothing_is_compared_that_was_not_evaluated(evaluation: dict[str, Any]) -> None:
    assert paths(graph(evaluations=[evaluation], figures=[])) == []


def test_references_are_compared_where_nothing_else_was_trained() -> None:
    variants = {"sft-terse": {"method": "sft-terse", "task": "chain", "reference": True}}
    [(_, after)] = paths(graph(variants=variants))
    assert after.startswith("chain/S/sft-terse/seed-0/iter-1/")
    assert paths(graph(variants={})) == []


def test_a_policy_that_shares_another_ones_weights_is_found_at_their_address() -> None:
    variants = {
        "long": {"method": "rest-em", "task": "chain", "reference": True},
        "short": {"method": "rest-em", "task": "chain", "iterations": 2},
    }
    [(_, after)] = paths(graph(variants=variants))
    assert after.startswith("chain/S/long/seed-0/iter-2/")
    [settings] = compared(graph(variants=variants))["compared"]
    assert (settings["variant"], settings["iteration"]) == ("short", 2)


def test_comparisons_and_texts_are_bounded() -> None:
    mini = graph("paper/mini.yaml")
    many = {f"S{i}": {"source": {"kind": "embedded", "size": "S"}} for i in range(30)}
    for found in (graph(), mini, graph(models=many)):
        settings = compared(found)
        assert 1 <= len(settings["compared"]) <= MOST
        assert 1 <= settings["shown"] * 3 * len(settings["compared"]) <= 60
    assert len(comparisons(graph(models=many))) == MOST


@pytest.mark.parametrize("name", ["demo.yaml", "paper/mini.yaml", "methods.yaml", "smollm2.yaml"])
def test_facts_name_everything_that_was_asked(name: str) -> None:
    found = graph(name)
    said = dict(facts(found))
    for heading, names in (
        ("Models", found.study.models),
        ("Tasks", found.study.tasks),
        ("Methods", found.study.variants),
        ("Decodings", found.study.decodings),
    ):
        assert sorted(line.partition(": ")[0] for line in said[heading]) == sorted(names)
    mains = [line for line in said["Methods"] if ": main method, " in line]
    assert said["Methods"][: len(mains)] == mains
    assert {line.partition(": ")[0] for line in mains} == set(main_variants(found).values())
    assert len(said["Evaluations"]) == len(found.study.evaluations)


def test_facts_state_the_training_of_each_variant_and_the_datasets_of_each_task() -> None:
    said = dict(facts(graph("smollm2.yaml")))
    settings = "all weights, learning rate 5e-05 (constant), batches of 64, "
    stopped = "early stopping by validation reward, bfloat16"
    assert said["Training"] == [
        f"{settings}at most 2 epochs, {stopped}: rest-em of SmolLM2-135M",
        f"{settings}2 epochs, bfloat16: rft, ssd of SmolLM2-135M",
        f"{settings}at most 6 epochs, {stopped}: sft of SmolLM2-135M",
    ]
    [sums] = [line for line in said["Tasks"] if line.startswith("sums: ")]
    assert "reasoning-gym 0.1.25; chain_sum (min terms 2, max terms 2, max digits 2)" in sums
    trained = dict(facts(graph("paper/mini.yaml")))["Training"]
    assert len(trained) > 1 and all(line.startswith("all weights, ") for line in trained)
    assert "Training" not in dict(facts(graph(variants={})))


def test_embedded_models_are_called_that_everywhere() -> None:
    settings = slices.page(graph("paper/mini.yaml"), None)
    models = dict(settings["facts"])["Models"]
    assert len(models) == 5
    assert all("embedded model" in line for line in models)
    assert settings["label"] == "embedded model"


def test_figures_show_the_estimates_that_their_modules_select() -> None:
    shown = {figure.name: figure for figure in figures_of_page(graph())}
    assert list(shown) == ["accuracy_by_iteration", "train_test_gap", "pass_at_k"]
    assert shown["accuracy_by_iteration"].kept == {"split": ["test"]}
    assert shown["accuracy_by_iteration"].quantity == "accuracy"
    assert shown["train_test_gap"].kept == {"split": ["train", "test"]}
    assert shown["pass_at_k"].quantity == "pass@"
    mini = {figure.name: figure for figure in figures_of_page(graph("paper/mini.yaml"))}
    assert set(mini) == set(slices.figures_of_experiments(graph("paper/mini.yaml")))
    assert mini["F2"].title.startswith("F2: ")
    assert {figure.table for figure in mini.values()} == {
        "summary", "breakdown", "false_positives",
    }  # fmt: skip


def test_the_order_of_keys_changes_neither_page_nor_ledger() -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(item) for key, item in reversed(value.items())}
        return value

    found, other = graph(), graph(**turned(read_yaml(CONFIG / "demo.yaml")))
    assert list(other.study.decodings) == list(reversed(found.study.decodings))
    for name in ("page", "changes", "ledger"):
        assert getattr(slices, name)(found, None) == getattr(slices, name)(other, None)
