"""Processes start on this machine, or evenly on all nodes of a SLURM job, or not at all."""

from pathlib import Path

import pytest

from restem.errors import RestemError
from restem.training.launch import nodes_of_job, torchrun


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in for SLURM's clients; return the folder that they lie in."""
    for name, says in (("squeue", "2"), ("srun", "")):
        client = tmp_path / name
        client.write_text(f"#!/bin/sh\necho '{says}'\n")
        client.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "123456")
    return tmp_path


def test_outside_slurm_there_is_one_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert nodes_of_job() == 1


def test_slurm_is_asked_how_many_nodes_a_job_has(slurm: Path) -> None:
    assert nodes_of_job() == 2


@pytest.mark.parametrize("answer", ["exit 1", "echo", "echo slurm_load_jobs error"])
def test_without_an_answer_there_is_one_node(slurm: Path, answer: str) -> None:
    (slurm / "squeue").write_text(f"#!/bin/sh\n{answer}\n")
    assert nodes_of_job() == 1


def test_an_interface_that_somebody_named_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth7")
    assert torchrun(3, 1)[1]["GLOO_SOCKET_IFNAME"] == "eth7"


def test_on_one_node_processes_meet_on_loopback() -> None:
    command, variables = torchrun(3, 1)
    assert "--standalone" in command and "srun" not in command
    assert command[command.index("--nproc-per-node") + 1] == "3"
    assert variables["GLOO_SOCKET_IFNAME"] == "lo"


def test_nodes_share_the_processes_evenly_and_meet_by_the_number_of_the_job(
    slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_NODELIST", "n1")  # of the step that starts them
    command, variables = torchrun(8, 2)
    assert command[0] == "srun" and "--ntasks=2" in command and "--overlap" in command
    assert command[command.index("--nproc-per-node") + 1] == "4"
    assert command[command.index("--rdzv-endpoint") + 1].endswith(":23456")
    assert [name for name in variables if name.startswith("SLURM_")] == ["SLURM_JOB_ID"]


def test_an_address_that_somebody_named_is_where_they_meet(
    slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.7")
    assert "10.0.0.7:23456" in torchrun(8, 2)[0]


def test_an_uneven_share_is_refused(slurm: Path) -> None:
    with pytest.raises(RestemError, match="3 processes cannot be spread evenly over 2 nodes"):
        torchrun(3, 2)


def test_other_nodes_that_cannot_be_reached_are_an_error(slurm: Path) -> None:
    (slurm / "srun").unlink()
    with pytest.raises(RestemError, match="srun is not there"):
        torchrun(2, 2)
