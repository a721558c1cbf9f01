"""Two processes on one machine compute what one computes."""

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from restem.config.training import Lora, Training
from restem.training.examples import Encoded, Example
from restem.training.loop import fine_tune
from restem.training.parallel import Processes
from restem.training.run import TrainingReport, Validate
from restem.training.state import StateStore

EXAMPLES = [Example("cd# ", a + b, f"{b}{a}##", 1.0) for a in "abcdef" for b in "abc"]
SETTINGS = Training(learning_rate=3e-3, epochs_max=2, batch_size=5, patience=100, pass_tokens=30)


def reward(model: Any, tokenizer: Any) -> float:
    return float(model.get_output_embeddings().weight.double().abs().sum()) % 1


def trained(
    base: Path,
    out: Path,
    settings: Training,
    state: Path | None = None,
    validate: Validate = reward,
) -> TrainingReport:
    store = StateStore(state, "k", 0.0) if state else None
    lines: list[str] = []
    return fine_tune(base, EXAMPLES, settings, 0, 1, validate, out, lines.append, store=store)


def in_two_processes(work: Callable[[int], None], seconds: float | None = None) -> list[int]:
    """Fork two processes that find each other as torchrun's do; return their exit statuses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    children = []
    for rank in range(2):
        child = os.fork()
        if not child:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            os.environ["GLOO_SOCKET_IFNAME"] = "lo"
            try:
                work(rank)
            except BaseException as error:
                print(f"process {rank}: {error!r}", flush=True)
                os._exit(1)
            os._exit(0)
        children.append(child)
    if seconds is not None:
        time.sleep(seconds)
        for child in children:
            os.kill(child, signal.SIGKILL)
    return [os.waitpid(child, 0)[1] for child in children]


@pytest.mark.parametrize(
    "changes", [{}, {"lora": Lora(rank=2)}, {"layout": "packed", "stop": "epochs"}]
)
def test_two_processes_take_the_steps_of_one(
    base: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    settings = SETTINGS.model_copy(update=changes)
    expected = trained(base, tmp_path / "one", settings)

    def work(rank: int) -> None:
        report = trained(base, tmp_path / "two", settings)
        assert report.losses == pytest.approx(expected.losses, rel=1e-4)
        assert report.tokens.target == expected.tokens.target
        assert report.passes >= expected.passes

    assert in_two_processes(work) == [0, 0]
    weights, expected_weights = (
        load_file(tmp_path / name / "model.safetensors") for name in ("two", "one")
    )
    if settings.stop == "epochs":
        for name, value in expected_weights.items():
            torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-4)


def test_both_are_killed_and_end_in_the_same_bytes(base: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    assert in_two_processes(lambda _: not trained(base, tmp_path / "whole", SETTINGS)) == [0, 0]
    took = time.monotonic() - began
    state = tmp_path / "state"
    for share in (0.5, 0.7, 0.9):
        in_two_processes(
            lambda _: not trained(base, tmp_path / "part", SETTINGS, state), took * share
        )
    assert in_two_processes(lambda _: not trained(base, tmp_path / "part", SETTINGS, state)) == [
        0,
        0,
    ]
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_every_example_goes_to_one_process(size: int) -> None:
    examples = [Encoded([1, k % 3], [4] * (1 + k % 5), 1.0) for k in range(17)]
    shared: list[Encoded] = []
    for rank in range(size):
        processes = Processes("cpu", rank, size)
        part = processes.share(examples)
        shared += part
        if size < 8:
            assert part
    assert sorted(map(id, shared)) == sorted(map(id, examples))


def test_every_parameter_has_one_owner_and_loads_are_even() -> None:
    processes = Processes("cpu", size=3)
    parameters = [torch.zeros(n) for n in (100, 90, 80, 10, 20, 30)]
    owners = processes.owners(parameters)
    loads = [
        sum(p.numel() for p, o in zip(parameters, owners, strict=True) if o == k) for k in range(3)
    ]
    assert loads == [110, 110, 110]
