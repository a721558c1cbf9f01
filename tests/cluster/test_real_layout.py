"""From a clone and a stand-in of the hub to a figure: fetch, then run in images without a network.

Apptainer gives every container a network of its own in which nothing answers, so no job can reach
the hub, as on compute nodes that have no network.
"""

from collections.abc import Callable
from typing import Any

import pytest

from restem.artifacts.container import image_label
from restem.artifacts.seals import seals
from restem.deployment.images import Image
from tests.hub import conftest as hub_conftest
from tests.hub import test_study

pytestmark = pytest.mark.cluster

repositories, hub, clone = hub_conftest.repositories, test_study.hub, test_study.clone
FIGURE = "results/tiny/figures/accuracy_by_iteration.svg"


def test_two_commands_lead_from_a_clone_to_a_figure_of_real_layouts(
    cluster: Any,
    cpu_image: Image,
    clone: Any,
    hub: Any,
    put_image: Callable[[Any], None],
    submit: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_image(clone)
    with (clone.root / "study.yaml").open("a") as study:
        study.write("\nimages: {torch: cpu}\n")
    fetched = test_study.restem(clone, "data", "fetch", "--profile", "slurm", online=True)
    assert f"[17/17] image cpu {cpu_image.path.name}: here" in fetched
    asked = len(hub.requests)
    for name, value in (("NET", "1"), ("NETWORK", "none")):
        monkeypatch.setenv(f"APPTAINER_{name}", value)
    clone.variables = {**clone.variables, "HF_HUB_OFFLINE": "1"}
    told = submit(clone, FIGURE, profile="slurm")
    assert "engine: transformers for T (the study says so)" in told
    assert (clone.root / FIGURE).is_file()
    assert len(hub.requests) == asked
    found = {seal["image"] for _, seal in seals(clone.results)}
    assert found == {image_label(cpu_image.path)}
