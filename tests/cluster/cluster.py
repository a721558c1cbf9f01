"""A real SLURM on loopback: munge, one controller, several virtual nodes; for tests, as root.

    python tests/cluster/cluster.py up /tmp/c       # prints the variables that a client needs
    python tests/cluster/cluster.py down /tmp/c

All that it writes lies in one folder, and it stops nothing but the processes that it started, known
by number and starting time. It has no accounting: the profile asks `squeue`.
"""

import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAMS = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "squeue", "srun", "scontrol")
CLIENTS = ("srun", "sbatch", "squeue", "scancel", "sinfo", "scontrol", "sacct", "sacctmgr")
SYSTEM = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

CONFIGURATION = """\
ClusterName=virtual
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket,cred_expire=10
CredType=cred/munge
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool.%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
GresTypes=gpu
JobRequeue=1
ReturnToService=2
SlurmdTimeout=20
KillWait=5
MinJobAge=7200
PropagateResourceLimits=NONE
"""


class ClusterError(Exception):
    """What is missing or did not come up."""


class Cluster:
    """One SLURM in a folder; its path must be short, because sockets lie in it."""

    def __init__(self, root: Path, nodes: int = 2) -> None:
        self.root = root.resolve()
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables of a client; its commands know where the configuration is."""
        path = os.pathsep.join([str(self.root / "bin"), SYSTEM])
        return {"PATH": path, "SLURM_CONF": str(self.root / "slurm.conf")}

    def up(self) -> None:
        """Start the daemons, and wait until every node is idle."""
        missing = [name for name in PROGRAMS if not shutil.which(name, path=SYSTEM)]
        if missing or os.geteuid():
            need = f"missing: {', '.join(missing)}" if missing else "not root"
            raise ClusterError(f"no SLURM here ({need}); tests/cluster/install.sh installs it")
        self.root.mkdir(parents=True, exist_ok=True)
        self._configure()
        for daemon in ("munged", "slurmctld", *self.nodes):
            self.start(daemon)
            if daemon == "munged":
                self.wait("munge", self._has_munge)
        self.wait("idle nodes", self.idle)

    def down(self) -> None:
        """Cancel the jobs, end the daemons and what they left behind."""
        if self._process("slurmctld"):
            self.client("scancel", "--state=PENDING")
            self.client("scancel", "--state=RUNNING", "--full", "--signal=KILL")
            for job in self.client("squeue", "-h", "-o", "%A").split():
                self.client("scancel", job)
            self.wait("the end of all jobs", lambda: not self.client("squeue", "-h", "-o", "%A"))
        for daemon in (*self.nodes, "slurmctld", "munged"):
            self.stop(daemon)
        for process in self._left_behind():
            os.kill(process, signal.SIGKILL)

    def start(self, daemon: str) -> None:
        """Start one daemon: munged, slurmctld or a node."""
        conf = str(self.root / "slurm.conf")
        command = {
            "munged": [
                "munged", "--foreground", "--force", f"--socket={self.root}/munge.socket",
                f"--key-file={self.root}/munge.key", f"--pid-file={self.root}/munged.pid",
                f"--log-file={self.root}/munged.log", f"--seed-file={self.root}/munged.seed",
            ],
            "slurmctld": ["slurmctld", "-D", "-f", conf],
        }.get(daemon, ["slurmd", "-D", "-N", daemon, "-f", conf])  # fmt: skip
        with (self.root / f"{daemon}.out").open("ab") as out:
            process = subprocess.Popen(
                command, env={**os.environ, **self.environment}, stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, start_new_session=True, cwd=self.root,
            )  # fmt: skip
        self._children[daemon] = process
        (self.root / f"{daemon}.process").write_text(f"{process.pid} {_started(process.pid)}")

    def stop(self, daemon: str, with_signal: int = signal.SIGTERM) -> None:
        """End one daemon, the hard way if it does not end by itself."""
        process = self._process(daemon)
        if process is None:
            return
        os.kill(process, with_signal)
        deadline = time.monotonic() + 15
        while self._process(daemon) and time.monotonic() < deadline:
            time.sleep(0.1)
        if self._process(daemon):
            os.kill(process, signal.SIGKILL)
        if child := self._children.pop(daemon, None):
            child.wait()
        (self.root / f"{daemon}.process").unlink()

    def runs(self, daemon: str) -> bool:
        """Tell whether a daemon that was started still runs."""
        return self._process(daemon) is not None

    def client(self, *command: str) -> str:
        """Run a client command; return what it printed, nothing where it failed."""
        return self._says(*command)

    def idle(self) -> bool:
        """Tell whether every node is there and has nothing to do."""
        states = self.client("sinfo", "-h", "-N", "-o", "%t", "-p", "cpu").split()
        return states == ["idle"] * len(self.nodes)

    def jobs(self) -> dict[str, str]:
        """Return the state of each job that is waiting or running, by its number."""
        lines = self.client("squeue", "-h", "-o", "%A %T").splitlines()
        return dict(line.split() for line in lines)

    def _has_munge(self) -> bool:
        return self._says("munge", "-n", "-S", f"{self.root}/munge.socket") != ""

    def _configure(self) -> None:
        shutil.rmtree(self.root / "state", ignore_errors=True)
        for folder in ("bin", "state"):
            (self.root / folder).mkdir(exist_ok=True)
        key = self.root / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        ports = _free_ports(1 + len(self.nodes))
        lines = [CONFIGURATION.format(root=self.root, host=_host(), port=ports[0])]
        for node, port in zip(self.nodes, ports[1:], strict=True):
            (self.root / f"spool.{node}").mkdir(exist_ok=True)
            place = f"NodeHostname={_host()} NodeAddr=127.0.0.1 Port={port}"
            lines.append(f"NodeName={node} {place} CPUs=16 RealMemory=512000 Gres=gpu:2\n")
        for name, rest in (("cpu", "Default=YES"), ("gpu", ""), ("urgent", "PriorityTier=9")):
            lines.append(f"PartitionName={name} Nodes=ALL MaxTime=3000 DefMemPerCPU=100 {rest}\n")
        (self.root / "slurm.conf").write_text("".join(lines))
        gres = (f"NodeName={node} Name=gpu File={self._gpus(node)}\n" for node in self.nodes)
        (self.root / "gres.conf").write_text("".join(gres))
        for name in CLIENTS:
            self._wrap(name)

    def _gpus(self, node: str) -> str:
        """Make two devices that behave like /dev/null, so that SLURM hands out GPU numbers."""
        for number in range(2):
            device = self.root / f"{node}-gpu{number}"
            if not device.exists():
                os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        return f"{self.root}/{node}-gpu[0-1]"

    def _wrap(self, name: str) -> None:
        """Write a client that brings the configuration: jobs get no SLURM_CONF from the plugin."""
        program = shutil.which(name, path=SYSTEM)
        wrapper = self.root / "bin" / name
        conf = self.root / "slurm.conf"
        wrapper.write_text(f'#!/bin/sh\nSLURM_CONF="{conf}" exec "{program}" "$@"\n')
        wrapper.chmod(0o755)

    def _process(self, daemon: str) -> int | None:
        """Return the number of a daemon that we started and that still runs."""
        try:
            number, started = (self.root / f"{daemon}.process").read_text().split()
        except OSError:
            return None
        return int(number) if _started(int(number)) == started else None

    def _left_behind(self) -> Iterator[int]:
        """Find step daemons, which outlive their node by design, and jobs that lost theirs."""
        ours = f"SLURM_CONF={self.root}/slurm.conf".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                program = (folder / "exe").readlink().name
                variables = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            in_a_job = any(each.startswith(b"SLURM_JOB_ID=") for each in variables)
            if (program == "slurmstepd" or in_a_job) and ours in variables:
                yield int(folder.name)

    def _says(self, *command: str) -> str:
        environment = {**os.environ, **self.environment}
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=30
            )
        except subprocess.TimeoutExpired:
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    def wait(self, what: str, ready: Callable[[], bool], seconds: float = 600) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > deadline:
                logs = sorted(self.root.glob("*.log"))
                tails = [f"{log.name}: {log.read_text()[-600:]}" for log in logs]
                raise ClusterError("\n".join([f"waited {seconds:.0f} s for {what}", *tails]))
            time.sleep(0.1)


def _started(process: int) -> str:
    """Return when a process started, in clock ticks since boot; nothing when it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _host() -> str:
    return socket.gethostname().split(".")[0]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def main(action: str, folder: str) -> None:
    """Bring a cluster up or down."""
    cluster = Cluster(Path(folder))
    if action == "down":
        cluster.down()
        return
    cluster.up()
    for name, value in cluster.environment.items():
        print(f"export {name}='{value}'")


if __name__ == "__main__":
    main(*sys.argv[1:])
