"""Faults that a cluster has, done to a running job or to the cluster itself."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

Fault = Callable[[Any, str, "subprocess.Popen[bytes]"], None]


def running(cluster: Any, process: "subprocess.Popen[bytes]", seconds: float = 120) -> str:
    """Return the number of a job that runs, as soon as there is one."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        for number, state in cluster.jobs().items():
            if state == "RUNNING":
                return str(number)
        time.sleep(0.2)
    raise AssertionError(f"no job ran within {seconds:.0f} s; snakemake: {process.poll()}")


def kill_the_job(cluster: Any, job: str, process: Any) -> None:
    cluster.client("scancel", "--full", "--signal=KILL", job)


def requeue_the_job(cluster: Any, job: str, process: Any) -> None:
    cluster.client("scontrol", "requeue", job)


def cancel_the_job(cluster: Any, job: str, process: Any) -> None:
    cluster.client("scancel", job)


def let_its_time_run_out(cluster: Any, job: str, process: Any) -> None:
    """Leave the job a minute in all, of which the profile's signal leaves it nothing."""
    cluster.client("scontrol", "update", f"jobid={job}", "timelimit=1")


def drain(cluster: Any, node: str) -> None:
    """Let no new job start on a node."""
    cluster.client("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")


def drain_its_node(cluster: Any, job: str, process: Any) -> None:
    drain(cluster, _node(cluster, job))


def lose_its_node(cluster: Any, job: str, process: Any) -> None:
    node = _node(cluster, job)
    cluster.client("scontrol", "update", f"nodename={node}", "state=down", "reason=test")


def restart_the_controller(cluster: Any, job: str, process: Any) -> None:
    cluster.stop("slurmctld", signal.SIGKILL)
    time.sleep(8)
    cluster.start("slurmctld")


def restart_its_node(cluster: Any, job: str, process: Any) -> None:
    node = _node(cluster, job)
    cluster.stop(node, signal.SIGKILL)
    time.sleep(2)
    cluster.start(node)


def terminate_the_run(cluster: Any, job: str, process: Any) -> None:
    os.kill(process.pid, signal.SIGTERM)
    process.wait(timeout=300)


def kill_the_run(cluster: Any, job: str, process: Any) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def fill_the_disk(cluster: Any, job: str, process: Any) -> None:
    """Leave no room for results for a while; they must lie on a disk of their own."""
    results = _tree(process) / "results"
    assert os.path.ismount(results), f"{results} is not a disk that may be filled"
    filler = results / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as stream:
        while stream.write(bytes(1 << 20)):
            pass
    time.sleep(20)
    filler.unlink()


def take_the_image_away(cluster: Any, job: str, process: Any) -> None:
    """Leave no image for a while; jobs that start meanwhile fail."""
    images = list((_tree(process) / "containers").glob("*.sif"))
    assert images, "no image is there that could be missed"
    for image in images:
        image.rename(image.with_suffix(".away"))
    time.sleep(20)
    for image in images:
        image.with_suffix(".away").rename(image)


FAULTS: tuple[Fault, ...] = (
    kill_the_job,
    requeue_the_job,
    cancel_the_job,
    let_its_time_run_out,
    drain_its_node,
    lose_its_node,
    restart_the_controller,
    restart_its_node,
    terminate_the_run,
    kill_the_run,
    fill_the_disk,
    take_the_image_away,
)

# One of each kind, for tests; benchmarks/faults.py draws from all of them.
QUICK = (kill_the_job, requeue_the_job, lose_its_node, restart_the_controller, terminate_the_run)


def heal(cluster: Any) -> None:
    """Bring back what a fault took away."""
    for daemon in ("slurmctld", *cluster.nodes):
        if not cluster.runs(daemon):
            cluster.start(daemon)
    for node in cluster.nodes:
        state = cluster.client("sinfo", "-h", "-n", node, "-o", "%T", "-p", "cpu")
        if state.startswith(("drain", "down")):
            cluster.client("scontrol", "update", f"nodename={node}", "state=resume")


def _tree(process: "subprocess.Popen[bytes]") -> Path:
    """Return the folder that a run works in."""
    return Path(f"/proc/{process.pid}/cwd").readlink()


def _node(cluster: Any, job: str) -> str:
    return str(cluster.client("squeue", "-h", "-j", job, "-o", "%N"))
