"""However many shards an evaluation has, the job that verifies them fits on a node."""

import re
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from restem.artifacts.schemas.evaluation import METRICS
from restem.artifacts.tables import read_rows

pytestmark = pytest.mark.cluster

PLACE = "results/tiny/pretrained/T/base/seed-0/iter-0/chain/test/greedy/seed-0"
EVALUATION = f"{PLACE}/metrics.parquet"


@pytest.fixture
def in_shards(finished: Any, tmp_path: Any) -> Any:
    """Return the finished study, whose base is to be evaluated in six shards of one problem."""
    tree = finished.copy(tmp_path / "tree")
    shutil.rmtree(tree.root / PLACE)
    tree.configure(
        lambda study: (
            study.update(shards={"test": 6}), study["tasks"]["chain"]["data"].update(test=6)
        )
    )  # fmt: skip
    return tree


def test_a_grouped_job_asks_for_four_shards_at_a_time(
    cluster: Any, in_shards: Any, submit: Callable[..., str]
) -> None:
    told = submit(in_shards, EVALUATION)
    assert len(read_rows(in_shards.root / EVALUATION, METRICS)) == 6
    [job] = re.findall(r"jobid (\d+) \(log: \S*checked", told)
    asked = cluster.client("scontrol", "--oneliner", "show", "job", job)
    assert re.search(r"MinCPUsNode=8 |NumCPUs=8 ", asked), asked
    # Two layers of shards and the count after them, 20 minutes each.
    assert "TimeLimit=01:00:00" in asked, asked
