"""Every figure of the tiny study can be plotted from its evaluations, with the paper's panels."""

import importlib
import inspect
from types import SimpleNamespace
from typing import Any

import pytest

from restem.study import slices
from restem.study.graph import StudyGraph
from tests.unit.study.simulated import tables
from tests.unit.study.test_paper import walk
from tests.unit.summaries import texts

PANELS = {  # of the paper's figures, with the tiny study's names of tasks and models
    "F1": ["math · L", "math · S", "MATH, 4-shot",
           "humaneval · L-code", "humaneval · S-code", "HumanEval, 0-shot"],
    "F2": ["math · trained on", "gsm8k · transfer"],
    "F3": ["apps · trained on", "humaneval · transfer"],
    "F4": ["math · L · rest-em"],
    "F4-code": ["apps · L-code · code-rest-em"],
    "F5": ["humaneval · L-code", "apps · L-code", "math · L"],
    "F6L": ["math · L"],
    "F6R": ["math · S"],
    "F7": ["apps · S-code", "humaneval · S-code"],
    "F8L": ["math"],
    "F8R": ["math · L"],
    "F9": ["bbh-cot · L", "average · L"],
    "F10": ["hungarian · gsm8k", "Hungarian exam against GSM8K"],
    "N1": ["math · L"],
    "N2": ["math · L"],
}  # fmt: skip


@pytest.fixture(scope="module")
def mini() -> StudyGraph:
    return walk("mini")


@pytest.fixture(scope="module")
def estimates(mini: StudyGraph) -> dict[str, list[dict[str, Any]]]:
    return tables(mini)


def plot(graph: StudyGraph, name: str, estimates: dict[str, list[dict[str, Any]]]) -> Any:
    """Plot a figure as the stage does."""
    settings = slices.figure(graph, SimpleNamespace(figure=name))
    kept = settings["kept"].items()
    rows = [r for r in estimates[settings["table"]] if all(r[c] in values for c, values in kept)]
    module = importlib.import_module(f"restem.figures.{settings['figure']}")
    names = [f"{row['model']}/{row['variant']}/{row['iteration']}" for row in estimates["summary"]]
    costs = {name: 1e12 * place for place, name in enumerate(dict.fromkeys(names))}
    offered = settings | settings["options"] | {"costs": costs}
    wanted = inspect.signature(module.plot).parameters
    return module.plot(rows, **{key: value for key, value in offered.items() if key in wanted})


@pytest.mark.parametrize("name", PANELS)
def test_a_figure_has_the_papers_panels(
    mini: StudyGraph, estimates: dict[str, list[dict[str, Any]]], name: str
) -> None:
    figure = plot(mini, name, estimates)
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.axison]
    assert titles == PANELS[name]
    assert "embedded model" in texts(figure)
    assert "no results" not in texts(figure)


def test_every_other_figure_can_be_plotted(
    mini: StudyGraph, estimates: dict[str, list[dict[str, Any]]]
) -> None:
    for name, (_, stated) in slices.figures_of_experiments(mini).items():
        if name not in PANELS and stated.table != "false_positives":
            assert plot(mini, name, estimates).axes
