"""The cause of a job's end is read from what SLURM recorded; only what was lacking grows."""

from pathlib import Path
from typing import Any

import pytest

from restem.deployment import retries
from restem.deployment.retries import Amounts, Cause, Ending, cause_of

# Lines of SLURM 22.05, shortened.
SCONTROL = (
    "JobId=1 JobName=x JobState=FAILED Reason=JobLaunchFailure Requeue=1 Restarts=0 ExitCode=0:9 "
    "RunTime=00:58:12 TimeLimit=1-01:00:00 TimeMin=N/A Comment=restem-demo"
)
POLLED = (
    "slurmstepd-n1: error: StepId=1.batch exceeded memory limit (162283520 > 62914560), being "
    "killed\nslurmstepd-n1: error: Exceeded job memory limit"
)
CGROUP = "slurmstepd: error: Detected 1 oom_kill event in StepId=7.0. Some of the step tasks ..."
WARNED = "srun: error: n1: task 0: Terminated"


def test_the_controllers_answer_is_read() -> None:
    ending = retries.read_scontrol(SCONTROL)
    assert ending == Ending("FAILED", 58 * 60 + 12, 25 * 3600)
    assert retries.read_scontrol("slurm_load_jobs error: Invalid job id specified") is None
    unlimited = retries.read_scontrol("JobState=RUNNING RunTime=00:00:01 TimeLimit=UNLIMITED")
    assert unlimited == Ending("RUNNING", 1, None)


def test_the_answer_of_accounting_is_read() -> None:
    assert retries.read_sacct("CANCELLED by 1000|12|60\n") == Ending("CANCELLED", 12, 3600)
    assert retries.read_sacct("TIMEOUT|3612|UNLIMITED") == Ending("TIMEOUT", 3612, None)


@pytest.mark.parametrize(
    ("state", "log", "seconds", "cause"),
    [
        ("OUT_OF_MEMORY", "", 10, Cause.MEMORY),
        ("FAILED", POLLED, 2, Cause.MEMORY),
        ("CANCELLED", POLLED, 2, Cause.MEMORY),
        ("FAILED", CGROUP, 2, Cause.MEMORY),
        ("FAILED", "srun: error: n1: task 0: Out Of Memory", 2, Cause.MEMORY),
        ("TIMEOUT", "", 3600, Cause.TIME),
        ("DEADLINE", "", 3600, Cause.TIME),
        ("FAILED", WARNED, 3480, Cause.TIME),  # it was warned, saved and ended before its limit
        ("FAILED", WARNED, 3400, Cause.TIME),  # the signal may come a minute early
        ("FAILED", WARNED, 60, Cause.PROGRAM),
        ("FAILED", "Traceback", 3480, Cause.PROGRAM),
        ("FAILED", "torch.OutOfMemoryError: CUDA out of memory", 60, Cause.PROGRAM),
        ("CANCELLED", "", 10, Cause.CANCELLED),
        ("PREEMPTED", "", 10, Cause.PREEMPTED),
        ("NODE_FAIL", "", 10, Cause.NODE),
        ("BOOT_FAIL", "", 10, Cause.NODE),
    ],
)
def test_each_recorded_end_has_its_cause(
    state: str, log: str, seconds: float, cause: Cause
) -> None:
    assert cause_of(Ending(state, seconds, 3600), log, warning_seconds=120) is cause


@pytest.mark.parametrize(
    ("extra", "seconds"),
    [("--signal=TERM@120", 120), ("--signal=B:USR1@60 --x", 60), ("--x", 0), (None, 0)],
)
def test_the_warning_is_read_from_the_profile(extra: str | None, seconds: float) -> None:
    assert retries.warning_seconds(extra) == seconds


def asked(amounts: Amounts, stated: dict[str, Any]) -> dict[str, Any]:
    return amounts.of("job", stated)


@pytest.mark.parametrize("cause", [c for c in Cause if c not in (Cause.MEMORY, Cause.TIME)])
def test_nothing_grows_for_other_causes(cause: Cause) -> None:
    amounts, stated = Amounts({}), {"mem_mb": 8000, "runtime": 60}
    assert amounts.grow("job", stated, cause) == {}
    assert asked(amounts, stated) == stated


def test_memory_and_time_double_apart_from_each_other() -> None:
    amounts, stated = Amounts({}), {"mem_mb": 8000, "runtime": 60}
    assert amounts.grow("job", stated, Cause.MEMORY) == {"mem_mb": 16000}
    assert asked(amounts, stated) == {"mem_mb": 16000, "runtime": 60}
    assert amounts.grow("job", asked(amounts, stated), Cause.TIME) == {"runtime": 120}
    assert amounts.grow("job", asked(amounts, stated), Cause.MEMORY) == {"mem_mb": 32000}
    assert asked(amounts, stated) == {"mem_mb": 32000, "runtime": 120}
    assert amounts.of("another job", stated) == stated


def test_growth_ends_at_the_ceiling() -> None:
    amounts, stated = Amounts({"mem_mb": 10000, "runtime": None}), {"mem_mb": 8000, "runtime": 60}
    assert amounts.grow("job", stated, Cause.MEMORY) == {"mem_mb": 10000}
    assert amounts.grow("job", asked(amounts, stated), Cause.MEMORY) == {}
    assert amounts.grow("job", asked(amounts, stated), Cause.TIME) == {"runtime": 120}
    assert amounts.of("big", {"mem_mb": 64000}) == {"mem_mb": 10000}


def test_memory_per_cpu_has_its_share_of_the_ceiling() -> None:
    amounts = Amounts({"mem_mb": 10000})
    stated = {"mem_mb_per_cpu": 2000, "cpus_per_task": 4}
    assert amounts.grow("job", stated, Cause.MEMORY) == {"mem_mb_per_cpu": 2500}


def test_a_profile_that_grows_with_each_attempt_still_works() -> None:
    amounts = Amounts({})
    amounts.grow("job", {"mem_mb": 8000}, Cause.MEMORY)
    assert asked(amounts, {"mem_mb": 8000 * 2}) == {"mem_mb": 16000}
    assert asked(amounts, {"mem_mb": 8000 * 3}) == {"mem_mb": 24000}


@pytest.mark.parametrize(
    "reason",
    [
        "PartitionTimeLimit", "AccountNotAllowed", "InvalidQOS", "QOSMaxMemoryPerJob",
        "AssocMaxWallDurationPerJobLimit", "QOSMaxNodePerJobLimit", "QOSMinGRES", "JobHeldAdmin",
    ],
)  # fmt: skip
def test_what_never_starts_is_known(reason: str) -> None:
    assert retries.never_starts(reason)


@pytest.mark.parametrize(
    "reason",
    [
        "None", "Resources", "Priority", "QOSMaxCpuPerUserLimit", "AssocGrpMemLimit",
        "QOSGrpNodeLimit", "ReqNodeNotAvail, UnavailableNodes:n1", "launch failed requeued held",
    ],
)  # fmt: skip
def test_what_may_start_is_waited_for(reason: str) -> None:
    assert not retries.never_starts(reason)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Invalid account or account/partition combination specified", "Invalid account"),
        ("invalid partition specified: nowhere", "invalid partition"),
        ("Requested node configuration is not available", "node configuration"),
        ("Memory specification can not be satisfied", "Memory specification"),
        ("Requested time limit is invalid (missing or exceeds some limit)", "time limit"),
        ("QOSMaxMemoryPerJob", "QOSMaxMemoryPerJob"),
        ("Unable to contact slurm controller (connect failure)", None),
        ("Socket timed out on send/recv operation", None),
        ("QOSMaxSubmitJobPerUserLimit", None),
        ("Job violates accounting/QOS policy (job submit limit, user's size ...)", None),
    ],
)
def test_a_refusal_is_told_from_a_passing_error(message: str, reason: str | None) -> None:
    text = f"SLURM sbatch failed. The error message was 'sbatch: error: {message}'.\n sbatch call"
    found = retries.refused(text)
    assert found is None if reason is None else reason in (found or "")


def test_the_end_of_a_log_is_read(tmp_path: Path) -> None:
    log = tmp_path / "1.log"
    log.write_text("x" * 100_000 + "end")
    assert len(retries.end_of_log(log)) == retries.TAIL_BYTES
    assert retries.end_of_log(log).endswith("end")
    assert retries.end_of_log(tmp_path / "missing") == retries.end_of_log(None) == ""
