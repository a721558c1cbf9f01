"""A fine-tuning of two processes runs on two nodes of a SLURM job, and takes the same steps."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from restem.policies.manifest import read_policy

pytestmark = pytest.mark.cluster

TWO_NODES = [f"make_policy:{one}" for one in ("nodes=2", "gpu=0", "gres=gpu:1")]
POLICY = "results/tiny/chain/T/sft-terse/seed-0/iter-1/policy.json"


@pytest.mark.parametrize("shard", ["optimizer", "weights"])
def test_two_nodes_take_the_steps_of_one(
    shard: str,
    cluster: Any,
    fresh: Any,
    finished: Any,
    submit: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fresh.configure(lambda study: study["training"].update(processes=2, shard=shard))
    # The nodes are one machine here, which reaches itself on loopback for sure.
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    told = submit(fresh, POLICY, "--set-resources", *TWO_NODES)
    losses = [read_policy(tree.root / POLICY).report["losses"] for tree in (finished, fresh)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    [job] = re.findall(r"jobid (\d+) \(log: \S*make_policy", told)
    logs = [(cluster.root / f"slurmd.{node}.log").read_text() for node in cluster.nodes]
    assert [f"StepId={job}.1 " in log for log in logs] == [True, True], logs
