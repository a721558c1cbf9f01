"""Sample with several vLLM engines side by side, each in a process with GPUs of its own.

They divide the problems among them and change nothing else, so that their number is no part of a
recipe. The processes end when the one that started them does, however it ends.
"""

import atexit
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final

from restem.artifacts.digests import digest
from restem.config.decoding import Decoding
from restem.config.models import EngineSettings
from restem.errors import RestemError
from restem.sampling.engine import BadPrompts, Completion, Engine, Request, Usage

_COMMAND: Final = (sys.executable, "-m", "restem.sampling.vllm.replicas")
_END_SECONDS: Final = 60  # that a process may take to give its memory back


class Replicas:
    """Divide requests among engines in other processes; see `Engine`."""

    name, unit_draws = "vllm", None

    def __init__(
        self,
        checkpoint: Path,
        settings: EngineSettings,
        threads: int,
        seed: int,
        count: int,
        command: Sequence[str] = _COMMAND,
    ) -> None:
        """Start `count` processes and wait until all have loaded the checkpoint.

        command: of a process that calls `serve` with the connection whose number is added to it.
        """
        environments: list[dict[str, str]] = [{} for _ in range(count)]
        if settings.device != "cpu":
            devices = divided_devices(count, settings.tensor_parallel)
            environments = [{"CUDA_VISIBLE_DEVICES": own} for own in devices]
        self._connections: list[Connection] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        atexit.register(self.close)
        for environment in environments:
            ours, theirs = Pipe()
            number = theirs.fileno()
            self._processes.append(
                subprocess.Popen(
                    [*command, str(number)], pass_fds=[number], env={**os.environ, **environment}
                )
            )
            theirs.close()
            self._connections.append(ours)
        for place, connection in enumerate(self._connections):
            own_seed = int(digest([seed, place])[:8], 16)
            self._send(connection, (checkpoint, settings, max(1, threads // count), own_seed))
        loaded = [self._receive(connection) for connection in self._connections]
        self.version: str = loaded[0][1]
        self._usages: dict[Connection, Usage] = {}

    def usage(self) -> Usage:
        """Return what all have used so far; of the memory of GPUs, that of the fullest."""
        usages = list(self._usages.values())
        gpus = sum(usage.gpus for usage in usages)
        peaks = [usage.peak_memory_bytes for usage in usages]
        return Usage(
            sum(usage.prompt_tokens for usage in usages),
            sum(usage.cached_tokens for usage in usages),
            gpus,
            max(peaks, default=0) if gpus else sum(peaks),
        )

    def sample(
        self, requests: Sequence[Request], decoding: Decoding, stop: tuple[str, ...]
    ) -> Iterator[list[Completion]]:
        """Yield groups of completions; see `Engine.sample`."""
        count = len(self._connections)
        shares = {self._connections[place]: requests[place::count] for place in range(count)}
        busy = [connection for connection, share in shares.items() if share]
        for connection in busy:
            self._send(connection, (shares[connection], decoding, stop))
        refused: list[RestemError] = []
        ready = []
        for connection in busy:
            try:
                self._receive(connection)
                ready.append(connection)
            except BadPrompts as error:
                refused.append(error)
        for connection in ready:
            self._send(connection, not refused)
        if refused:
            raise refused[0]
        return self._collected(ready)

    def _collected(self, busy: list[Connection]) -> Iterator[list[Completion]]:
        """Yield what the processes send; when the caller stops, tell them to stop."""
        try:
            while busy:
                for connection in wait(busy):
                    assert isinstance(connection, Connection)
                    busy.remove(connection)  # until it turns out that there is more to come
                    kind, *content = self._receive(connection)
                    if kind == "drawn":
                        busy.append(connection)
                        group, self._usages[connection] = content
                        yield group
        finally:
            with suppress(RestemError):
                for connection in busy:
                    self._send(connection, None)
                for connection in busy:
                    while self._receive(connection)[0] != "done":
                        pass

    def _send(self, connection: Connection, message: object) -> None:
        """Send a message to a process. Raises RestemError if it has ended."""
        try:
            connection.send(message)
        except OSError as error:
            raise self._ended(connection) from error

    def _receive(self, connection: Connection) -> Any:
        """Return a message of a process. Raises the error that it reports, or that it has ended."""
        try:
            message = connection.recv()
        except (EOFError, OSError) as error:
            raise self._ended(connection) from error
        if message[0] == "bad prompts":
            raise BadPrompts(*message[1:])
        if message[0] == "error":
            raise RestemError(*message[1:])
        return message

    def _ended(self, connection: Connection) -> RestemError:
        place = self._connections.index(connection) + 1
        return RestemError(
            "a process that samples has ended",
            f"replica {place} of {len(self._connections)}",
            "look above for its error, then run again: finished draws are kept",
        )

    def close(self) -> None:
        """End the processes, and wait until their memory is free."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def divided_devices(count: int, each: int) -> list[str]:
    """Return the GPUs of every replica, as CUDA_VISIBLE_DEVICES names them.

    Raises RestemError if this job has too few.
    """
    stated = os.environ.get("CUDA_VISIBLE_DEVICES")
    if stated is None:
        visible = [str(number) for number, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]
    else:
        visible = [name for name in stated.split(",") if name.strip()]
    if len(visible) < count * each:
        raise RestemError(
            f"{count} replicas with {each} GPUs each need {count * each}, "
            f"and this job has {len(visible)}",
            "models.*.engine.replicas",
            "give draw_samples as many GPUs in the profile, or lower `replicas`",
        )
    return [",".join(visible[each * place : each * (place + 1)]) for place in range(count)]


def serve(connection: Connection, load: Callable[[Path, EngineSettings, int, int], Engine]) -> None:
    """Load an engine and sample what is asked for, until the other side is gone."""
    with suppress(EOFError, ConnectionError):
        try:
            engine = load(*connection.recv())
        except RestemError as error:
            connection.send(("error", error.what, error.where, error.fix))
            return
        connection.send(("loaded", engine.version))
        while True:
            order = connection.recv()
            if order is not None:  # else it was to stop, and has ended already
                _answer(connection, engine, *order)


def _answer(
    connection: Connection,
    engine: Engine,
    requests: Sequence[Request],
    decoding: Decoding,
    stop: tuple[str, ...],
) -> None:
    """Check requests, wait for the word that all others are checked, and send what is sampled."""
    try:
        groups = engine.sample(requests, decoding, stop)
        connection.send(("checked",))
        if not connection.recv():
            return
        for group in groups:
            connection.send(("drawn", group, engine.usage()))
            if connection.poll():  # there is nothing to say but to stop
                connection.recv()
                break
        del groups  # so that vLLM drops what is queued
    except BadPrompts as error:
        connection.send(("bad prompts", error.what, error.problem_ids, error.fix))
    except RestemError as error:
        connection.send(("error", error.what, error.where, error.fix))
    else:
        connection.send(("done",))


if __name__ == "__main__":
    from restem.sampling.vllm.engine import load as load_vllm

    serve(Connection(int(sys.argv[1])), load_vllm)
