"""A plan is the same in whatever state a run leaves a tree that was killed on a cluster."""

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import virtual_faults as faults

from tests.workflow.changes import EDITS, STATES, edited_plan

pytestmark = pytest.mark.cluster

KILLS = 2
EDITED = 4  # trees after each kill
STATES_OF_EACH = 3
SEED = 20261129


def test_a_run_killed_on_a_cluster_leaves_nothing_that_a_plan_notices(
    cluster: Any,
    fresh: Any,
    profile: tuple[str, ...],
    end_group: Any,
    tmp_path: Path,
) -> None:
    chance, stale = random.Random(SEED), 0
    (copies := tmp_path / "copies").mkdir()
    for number in range(KILLS):
        run = fresh.start(*profile)
        end_group(run)
        faults.running(cluster, run)
        time.sleep(chance.uniform(0, 15))
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        cluster.wait("the end of its jobs", lambda: cluster.jobs() == {}, 300)
        for case in range(EDITED):
            edits, seed = chance.sample(EDITS, 2), chance.randrange(10**6)
            plans = [
                edited_plan(fresh.copy(copies / "tree"), states, edits, seed)
                for states in ([], *(chance.sample(STATES, 2) for _ in range(STATES_OF_EACH)))
            ]
            assert all(plan == plans[0] for plan in plans), (number, case)
            stale += bool(plans[0])
        fresh.snakemake("--unlock")
    assert stale == KILLS * EDITED
