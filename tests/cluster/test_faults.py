"""Whatever happens to a job, the cluster or the run: the same command ends in the same draws."""

import fcntl
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import virtual_faults as faults

from restem.artifacts.schemas.loop import SAMPLES
from restem.artifacts.seals import HIDDEN
from restem.artifacts.tables import read_rows

pytestmark = pytest.mark.cluster

PLACE = "results/tiny/pretrained/T/base/seed-0/iter-0/chain/train/explore/seed-0"
SHARD = f"{PLACE}/samples/1-of-1.parquet"
CHECKED = "results/tiny/pretrained/T/base/seed-0/iter-0/chain/test/greedy/seed-0"


@pytest.fixture
def undrawn(finished: Any, tmp_path: Path) -> Iterator[Any]:
    """Return the finished study without the draws of the E-step, and without any trace of them."""
    tree = finished.copy(tmp_path / "tree")
    shutil.rmtree(tree.root / PLACE)
    yield tree
    shutil.rmtree(tree.root)


def draws(tree: Any) -> list[tuple[str, int, str]]:
    rows = read_rows(tree.root / SHARD, SAMPLES)
    return [(row["problem_id"], row["draw"], row["completion"]) for row in rows]


@contextmanager
def writing(output: Path) -> Iterator[None]:
    """Hold the lock on an output, as a process that writes it does; a job that makes it waits."""
    folder = output.parent / HIDDEN
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{output.name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def log(tree: Any) -> str:
    return str((tree.root / "started.log").read_text())


@pytest.mark.parametrize("fault", faults.QUICK, ids=lambda fault: fault.__name__)
def test_the_same_command_ends_in_the_same_draws(
    cluster: Any,
    undrawn: Any,
    finished: Any,
    profile: tuple[str, ...],
    end_group: Callable[[Any], None],
    fault: faults.Fault,
) -> None:
    process = undrawn.start(*profile, SHARD)
    end_group(process)
    fault(cluster, faults.running(cluster, process), process)
    code = process.wait(timeout=400)
    faults.heal(cluster)
    if code == -9:
        undrawn.snakemake("--unlock")
    told = undrawn.snakemake(*profile, SHARD) if code else log(undrawn)
    assert draws(undrawn) == draws(finished), told
    assert cluster.jobs() == {}


def test_a_run_waits_for_what_a_killed_one_left_running_and_submits_nothing(
    cluster: Any,
    undrawn: Any,
    finished: Any,
    profile: tuple[str, ...],
    end_group: Callable[[Any], None],
) -> None:
    with writing(undrawn.root / SHARD):  # the orphan cannot end before its successor has looked
        process = undrawn.start(*profile, SHARD)
        end_group(process)
        orphan = faults.running(cluster, process)
        faults.kill_the_run(cluster, orphan, process)
        undrawn.snakemake("--unlock")
        again = undrawn.start(*profile, SHARD)
        end_group(again)
        waiting = f"SLURM job {orphan} belongs to an earlier run of this study: waiting"
        cluster.wait("the next run", lambda: waiting in log(undrawn), 300)
    assert again.wait(timeout=400) == 0, log(undrawn)
    assert re.findall(r"has been submitted with SLURM jobid (\d+)", log(undrawn)) == [orphan]
    ended = cluster.client("squeue", "-h", "--states=all", "-j", orphan, "-o", "%T")
    assert ended == "COMPLETED"
    assert f"reused {SHARD}" in log(undrawn)
    assert draws(undrawn) == draws(finished)


def test_an_artifact_whose_run_was_killed_is_planned_like_any_other(
    cluster: Any,
    undrawn: Any,
    profile: tuple[str, ...],
    end_group: Callable[[Any], None],
) -> None:
    """Nobody was left to tell Snakemake what the job had been made with; its seal does."""
    process = undrawn.start(*profile, SHARD)
    end_group(process)
    orphan = faults.running(cluster, process)
    faults.kill_the_run(cluster, orphan, process)
    cluster.wait("the end of the orphan", lambda: cluster.jobs() == {}, 300)
    undrawn.snakemake("--unlock")
    assert undrawn.plan(SHARD).jobs == set()
    assert undrawn.plan("--profile", "profiles/slurm-without-containers", SHARD).jobs == set()
    undrawn.configure(lambda study: study["decodings"]["explore"].update(max_tokens=7))
    stale = undrawn.plan(SHARD)
    assert [job.output for job in stale.jobs] == [SHARD]
    assert "key decoding.max_tokens: 6 -> 7" in "".join(stale.reasons.values())


def test_a_run_cancels_what_a_killed_one_left_waiting(
    cluster: Any,
    undrawn: Any,
    profile: tuple[str, ...],
    end_group: Callable[[Any], None],
) -> None:
    for node in cluster.nodes:
        faults.drain(cluster, node)
    process = undrawn.start(*profile, SHARD)
    end_group(process)
    cluster.wait("a waiting job", lambda: "PENDING" in cluster.jobs().values(), 120)
    [orphan] = cluster.jobs()
    faults.kill_the_run(cluster, orphan, process)
    cluster.client("scontrol", "hold", orphan)
    faults.heal(cluster)
    undrawn.snakemake("--unlock")
    told = undrawn.snakemake(*profile, SHARD)
    assert f"SLURM job {orphan} belongs to an earlier run of this study: cancelled" in told
    assert cluster.jobs() == {}


def test_a_second_run_beside_a_living_one_touches_none_of_its_jobs(
    cluster: Any,
    undrawn: Any,
    profile: tuple[str, ...],
    end_group: Callable[[Any], None],
) -> None:
    process = undrawn.start(*profile, SHARD)
    end_group(process)
    job = faults.running(cluster, process)
    told = undrawn.snakemake(*profile, "results/tiny/overlap.parquet", "--force")
    assert "earlier run" not in told
    assert process.wait(timeout=300) == 0
    assert "COMPLETED" in cluster.client("squeue", "-h", "--states=all", "-j", job, "-o", "%T")


def amounts(cluster: Any, told: str) -> list[tuple[str, str]]:
    """Return the memory and the time limit of each job that was submitted."""
    jobs = re.findall(r"has been submitted with SLURM jobid (\d+)", told)
    squeue = ("squeue", "-h", "--states=all", "-o", "%m %l", "-j")
    return [tuple(cluster.client(*squeue, job).split()) for job in jobs]


def test_memory_alone_grows_after_a_job_ran_out_of_memory(
    cluster: Any, undrawn: Any, finished: Any, submit: Callable[..., str]
) -> None:
    told = submit(undrawn, SHARD, "--set-resources", "draw_samples:mem_mb=200")
    asked = amounts(cluster, told)
    assert len(asked) > 1
    assert asked == [(f"{200 * 2**k}M", "1:00:00") for k in range(len(asked))]
    assert "ran out of memory" in told
    assert "the next attempt gets 400 MB" in told
    assert draws(undrawn) == draws(finished)


def test_a_job_that_needs_more_than_the_ceiling_is_not_tried_again(
    cluster: Any, undrawn: Any, submit: Callable[..., str]
) -> None:
    ceiling = ("--restem-slurm-max-mem-mb", "70")
    little = ("--set-resources", "draw_samples:mem_mb=60")
    told = submit(undrawn, SHARD, *ceiling, *little, fails=True)
    assert amounts(cluster, told) == [("60M", "1:00:00"), ("70M", "1:00:00")]
    assert "no more is allowed (restem-slurm-max-mem-mb" in told


def test_time_alone_grows_after_a_job_ran_out_of_time(
    cluster: Any,
    undrawn: Any,
    finished: Any,
    profile: tuple[str, ...],
    end_group: Callable[[Any], None],
) -> None:
    short = ("--set-resources", "draw_samples:runtime=1")
    with writing(undrawn.root / SHARD):  # the job waits until its time is up
        process = undrawn.start(*profile, SHARD, *short)
        end_group(process)
        cluster.wait("the second attempt", lambda: "the next attempt" in log(undrawn), 300)
    assert process.wait(timeout=300) == 0, log(undrawn)
    assert "ran out of time" in log(undrawn)
    assert "the next attempt gets 2 minutes" in log(undrawn)
    assert amounts(cluster, log(undrawn))[:2] == [("8000M", "1:00"), ("8000M", "2:00")]
    assert draws(undrawn) == draws(finished)


def test_nothing_grows_after_a_job_was_cancelled(
    cluster: Any,
    undrawn: Any,
    finished: Any,
    profile: tuple[str, ...],
    end_group: Callable[[Any], None],
) -> None:
    process = undrawn.start(*profile, SHARD)
    end_group(process)
    faults.cancel_the_job(cluster, faults.running(cluster, process), process)
    assert process.wait(timeout=400) == 0, log(undrawn)
    assert "was cancelled" in log(undrawn)
    assert "the next attempt gets the same memory and time" in log(undrawn)
    assert amounts(cluster, log(undrawn)) == [("62.50G", "4:00:00")] * 2
    assert draws(undrawn) == draws(finished)


@pytest.mark.parametrize(
    ("resource", "reasons"),
    [
        ("runtime=100000", ("SLURM will not start the job", "PartitionTimeLimit")),
        ("mem_mb=900000", ("SLURM refuses the job", "Memory")),
        ("slurm_partition=nowhere", ("SLURM refuses the job", "invalid partition")),
    ],
)
def test_a_job_that_can_never_start_fails_at_once(
    cluster: Any,
    undrawn: Any,
    submit: Callable[..., str],
    resource: str,
    reasons: tuple[str, str],
) -> None:
    told = submit(undrawn, SHARD, "--set-resources", f"draw_samples:{resource}", fails=True)
    assert all(reason in told for reason in reasons), told
    assert "Trying to restart" not in told
    assert cluster.jobs() == {}


def test_a_group_that_can_never_start_fails_at_once(
    cluster: Any, undrawn: Any, submit: Callable[..., str]
) -> None:
    """The plugin forgets a group whose submission raises an error, and waits forever."""
    shutil.rmtree(undrawn.root / CHECKED)
    nowhere = ("verify_samples:slurm_partition=nowhere", "count_correct:slurm_partition=nowhere")
    told = submit(undrawn, f"{CHECKED}/metrics.parquet", "--set-resources", *nowhere, fails=True)
    assert "SLURM refuses the job" in told
    assert "Trying to restart" not in told


def test_names_of_jobs_and_lines_of_a_run_say_rule_and_address(
    cluster: Any, undrawn: Any, submit: Callable[..., str]
) -> None:
    shutil.rmtree(undrawn.root / CHECKED)
    told = submit(undrawn, SHARD, f"{CHECKED}/metrics.parquet")
    place = CHECKED.removeprefix("results/tiny/")
    names = [
        f"draw_samples:{SHARD.removeprefix('results/tiny/').removesuffix('.parquet')}",
        f"draw_samples:{place}/samples/1-of-1",
        f"checked:{place}/metrics",
    ]
    queue = cluster.client("squeue", "-h", "--states=all", "-o", "%j").splitlines()
    for name in names:
        assert name in queue
        assert f"{name} has been submitted with SLURM jobid" in told
    assert f"Finished {names[0]}" in told
    assert "    resources:" not in told


def test_a_job_that_slurm_forgot_is_not_waited_for(
    cluster: Any,
    undrawn: Any,
    finished: Any,
    profile: tuple[str, ...],
    end_group: Callable[[Any], None],
) -> None:
    """A controller that lost its memory knows none of the jobs."""
    process = undrawn.start(*profile, SHARD)
    end_group(process)
    faults.running(cluster, process)
    cluster.stop("slurmctld")
    shutil.rmtree(cluster.root / "state")
    (cluster.root / "state").mkdir()
    cluster.start("slurmctld")
    assert process.wait(timeout=400) == 0
    assert "SLURM no longer knows the job" in log(undrawn)
    assert draws(undrawn) == draws(finished)


@pytest.fixture
def small_disk(undrawn: Any) -> Iterator[Callable[[str], None]]:
    """Put the results on a disk of a given size, which the test may change."""
    place = undrawn.root / PLACE
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "none", str(place)]
    subprocess.run(mount, check=True)

    def resize(size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(place)], check=True)

    yield resize
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_spoils_nothing(
    cluster: Any,
    undrawn: Any,
    finished: Any,
    small_disk: Callable[[str], None],
    submit: Callable[..., str],
) -> None:
    submit(undrawn, "--retries", "0", SHARD, fails=True)
    assert not (undrawn.root / SHARD).exists()
    small_disk("10m")
    submit(undrawn, SHARD)
    assert draws(undrawn) == draws(finished)
