"""`restem doctor` on a real SLURM: the profile's requests against its partitions."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from restem.deployment.profile import Profile, find_profile
from restem.deployment.site import Site
from restem.doctor.cluster import grants
from restem.doctor.slurm import partitions
from restem.doctor.subject import Place

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.cluster


def test_partitions_and_nodes_of_a_real_slurm_are_read(cluster: Any) -> None:
    found = partitions()
    assert found is not None and list(found) == ["cpu", "gpu", "urgent"]
    assert found["cpu"].is_default and found["cpu"].is_up and found["cpu"].minutes == 3000
    [nodes] = found["gpu"].nodes
    assert (nodes.count, nodes.cpus, nodes.memory_mb, nodes.gpus) == (2, 16, 512000, {"": 2})


def test_the_profile_fits_a_real_slurm_and_a_greedy_one_does_not(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    profile = find_profile("slurm")
    place = Place(ROOT, Site(), profile, is_named=True)
    assert [finding.level for finding in grants(place)] == ["ok"]
    greedy = {"make_policy": {"gpu": 4, "runtime": 5000, "slurm_partition": "gpu"}}
    content = {**profile.content, "set-resources": greedy}
    wrong = dataclasses.replace(place, profile=Profile(profile.folder, content))
    texts = [finding.text for finding in grants(wrong)]
    assert any("it asks for 4 GPUs, and its nodes have 2 GPUs" in text for text in texts)
    assert any("it asks for 5000 minutes, and the limit is 3000" in text for text in texts)
