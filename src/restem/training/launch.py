"""How the processes of one fine-tuning are started: on this machine, or on all nodes of a job."""

import os
import shutil
import socket
import subprocess
import sys
from typing import Final

from restem.errors import RestemError

# Ports at which the processes of a job find each other; jobs beside it use others.
_FIRST_PORT: Final = 20000
_PORTS: Final = 10000
# What tells a step of which job it is; other variables would keep it on its parent's node.
_OF_JOB: Final = ("SLURM_JOB_ID", "SLURM_JOBID", "SLURM_CONF")


def nodes_of_job() -> int:
    """Count the nodes of the SLURM job that this process is part of; 1 outside SLURM.

    SLURM is asked: the variable that would say so is not passed on to steps.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or shutil.which("squeue") is None:
        return 1
    asked = ["squeue", "--noheader", "--jobs", job, "--format", "%D"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return int(told) if told.isdigit() else 1


def torchrun(processes: int, nodes: int) -> tuple[list[str], dict[str, str]]:
    """Return the beginning of a command that starts so many processes, and its environment.

    Raises RestemError when the nodes cannot share them evenly, or cannot be reached.
    """
    run = [sys.executable, "-m", "torch.distributed.run"]
    if nodes == 1:
        # Left to itself, gloo may bind to an interface that this machine cannot reach.
        here = [*run, "--standalone", "--nproc-per-node", str(processes)]
        return here, {"GLOO_SOCKET_IFNAME": "lo", **os.environ}
    if processes % nodes:
        raise RestemError(
            f"{processes} processes cannot be spread evenly over {nodes} nodes",
            "training.processes",
            f"make it a multiple of {nodes}, or give make_policy another number of nodes",
        )
    if shutil.which("srun") is None:
        raise RestemError(
            "srun is not there to start processes on the other nodes",
            f"a job of {nodes} nodes",
            "train outside a container on several nodes, or on one node",
        )
    job = os.environ["SLURM_JOB_ID"]
    host = os.environ.get("MASTER_ADDR") or socket.gethostname()
    place = f"{host}:{_FIRST_PORT + int(job) % _PORTS}"
    # The step that this process runs in holds the job's first node: the new one shares it.
    step = ["srun", "--overlap", "--mem=0", "--kill-on-bad-exit=1"]
    step += [f"--nodes={nodes}", f"--ntasks={nodes}"]
    step.append(f"--cpus-per-task={os.environ.get('SLURM_CPUS_PER_TASK', '1')}")
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", place, "--rdzv-id", job]
    each = ["--nnodes", str(nodes), "--nproc-per-node", str(processes // nodes)]
    variables = {n: v for n, v in os.environ.items() if n[:6] != "SLURM_" or n in _OF_JOB}
    return [*step, *run, *each, *meeting], variables
