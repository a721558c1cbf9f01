"""Engines side by side divide the problems, and nothing is lost, doubled or left behind."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from restem.config.decoding import Decoding
from restem.config.models import EngineSettings
from restem.errors import RestemError
from restem.sampling.engine import BadPrompts, Completion, Request
from restem.sampling.loading import load_engine
from restem.sampling.vllm import replicas
from restem.sampling.vllm.replicas import Replicas, divided_devices

DECODING = Decoding(draws=3, temperature=1, max_tokens=9)
SETTINGS = EngineSettings(name="vllm", device="cpu")

# An engine whose completions name the process, its threads and its seed.
STUB = """
import os, sys
from multiprocessing.connection import Connection
from restem.errors import RestemError
from restem.sampling.engine import BadPrompts, Completion, Usage
from restem.sampling.vllm.replicas import serve

class Engine:
    version = "stub 1.0"

    def __init__(self, checkpoint, settings, threads, seed):
        if checkpoint.name == "broken":
            raise RestemError("the weights are damaged", str(checkpoint), "make them again")
        self.text, self.made, self.aborted = f"{os.getpid()} {threads} {seed}", 0, 0

    def sample(self, requests, decoding, stop):
        if long := [r.problem_id for r in requests if len(r.prompt) > 9]:
            raise BadPrompts("too long", long, "shorten them")
        return self._sample(requests)

    def _sample(self, requests):
        for request in requests:
            if request.prompt == "fail":
                raise RestemError("no numbers", request.problem_id, "use float32")
            if request.prompt == "die":
                os._exit(1)
            for draw, seed in zip(request.draws, request.seeds):
                self.made += 1
                yield [Completion(
                    request.problem_id, draw, seed, self.text, 3, 5, "stop", "#", -1.0
                )]

    def usage(self):
        return Usage(5 * self.made, 2 * self.made, 0, 1000)

serve(Connection(int(sys.argv[1])), Engine)
"""


def requests(problems: int, prompt: str = "x") -> list[Request]:
    return [Request(f"p{i}", "", prompt, (0, 1, 2), (10, 11, 12)) for i in range(problems)]


def start(count: int = 2, checkpoint: str = "checkpoint", threads: int = 5) -> Replicas:
    command = [sys.executable, "-c", STUB]
    return Replicas(Path(checkpoint), SETTINGS, threads, 7, count, command)


@pytest.fixture
def engines() -> Iterator[Replicas]:
    started = start()
    yield started
    started.close()
    assert all(process.returncode == 0 for process in started._processes)


def drawn(engine: Replicas, asked: Sequence[Request]) -> list[Completion]:
    return [c for group in engine.sample(asked, DECODING, ("#",)) for c in group]


def addresses(completions: Sequence[Completion]) -> list[tuple[str, int, int]]:
    return sorted((c.problem_id, c.draw, c.seed) for c in completions)


def test_every_draw_comes_once_and_both_processes_work(engines: Replicas) -> None:
    asked = requests(5)
    completions = drawn(engines, asked)
    wanted = [(r.problem_id, d, s) for r in asked for d, s in zip(r.draws, r.seeds, strict=True)]
    assert addresses(completions) == wanted
    texts = {c.text.split()[0]: c.text.split()[1:] for c in completions}
    assert len(texts) == 2
    (first_threads, first_seed), (threads, seed) = texts.values()
    assert first_threads == threads == "2"
    assert first_seed != seed  # with one seed, both would draw the same
    assert engines.version == "stub 1.0"
    usage = engines.usage()
    assert (usage.prompt_tokens, usage.cached_tokens, usage.gpus) == (75, 30, 0)
    assert usage.peak_memory_bytes == 2000


def test_fewer_problems_than_processes_are_drawn_too(engines: Replicas) -> None:
    assert len(drawn(engines, requests(1))) == 3
    assert drawn(engines, []) == []


def test_bad_prompts_are_named_before_anything_is_drawn(engines: Replicas) -> None:
    asked = requests(4)
    asked[2] = Request("long", "", "x" * 10, (0,), (1,))
    with pytest.raises(BadPrompts, match="too long") as caught:
        engines.sample(asked, DECODING, ())
    assert caught.value.problem_ids == ("long",)
    assert engines.usage().prompt_tokens == 0
    assert len(drawn(engines, requests(4))) == 12


def test_a_caller_that_stops_leaves_nothing_behind(engines: Replicas) -> None:
    groups: Any = engines.sample(requests(400), DECODING, ())
    next(groups)
    groups.close()
    assert len(drawn(engines, requests(4))) == 12
    assert engines.usage().prompt_tokens < 5 * 1200


def test_an_error_of_one_process_is_that_of_all(engines: Replicas) -> None:
    asked = [*requests(3), Request("p3", "", "fail", (0,), (1,))]
    with pytest.raises(RestemError, match="no numbers"):
        drawn(engines, asked)
    assert len(drawn(engines, requests(4))) == 12


def test_a_process_that_ends_is_named() -> None:
    engine = start()
    asked = [*requests(1), Request("p1", "", "die", (0,), (1,))]
    with pytest.raises(RestemError, match="has ended") as caught:
        drawn(engine, asked)
    assert caught.value.where == "replica 2 of 2"
    with pytest.raises(RestemError, match="has ended"):
        drawn(engine, asked)
    engine.close()


def test_an_engine_that_cannot_be_loaded_says_why() -> None:
    with pytest.raises(RestemError, match="weights are damaged"):
        start(checkpoint="broken")


PARENT = """
import sys
from pathlib import Path
from tests.unit.sampling.test_replicas import start
print(*(process.pid for process in start()._processes), flush=True)
sys.stdin.read()
"""


def test_processes_end_with_the_one_that_started_them() -> None:
    root = Path(__file__).parents[3]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=root, **pipes) as parent:
        assert parent.stdout
        children = [int(number) for number in parent.stdout.readline().split()]
        assert len(children) == 2
        descriptors = [os.pidfd_open(number) for number in children]
        parent.send_signal(signal.SIGKILL)
    for descriptor in descriptors:
        assert select.select([descriptor], [], [], 60)[0]
        os.close(descriptor)


def test_gpus_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7,GPU-8")
    assert divided_devices(2, 2) == ["4,5", "6,7"]
    assert divided_devices(5, 1)[4] == "GPU-8"
    with pytest.raises(RestemError, match="3 replicas with 2 GPUs each need 6, and this job has 5"):
        divided_devices(3, 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(RestemError, match="has 0"):
        divided_devices(2, 1)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(replicas.Path, "glob", lambda *_: iter("ab"))
    assert divided_devices(2, 1) == ["0", "1"]


def test_transformers_samples_in_one_process() -> None:
    with pytest.raises(RestemError, match="one process"):
        load_engine(Path("checkpoint"), EngineSettings(device="cpu"), 1, replicas=2)
