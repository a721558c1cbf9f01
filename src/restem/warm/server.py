"""A warm process: it imports packages, then serves every client by a fork.

It runs as a script, so that it loads no other module of restem: a fork reads the code anew.
"""

import atexit
import ctypes
import gc
import importlib
import io
import json
import os
import selectors
import shutil
import signal
import socket
import sys
import threading
import types
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

DATA: Final = ("numpy", "pyarrow.compute", "pyarrow.parquet", "pydantic", "click", "yaml")
MODEL: Final = (
    *DATA,
    "torch._dynamo",
    "restem.libraries",
    "transformers.generation.utils",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
)
PACKAGES: Final = {"data": DATA, "model": MODEL}
_PR_SET_PDEATHSIG: Final = 1
_LOOK_SECONDS: Final = 0.5  # between two looks whether the run is still there


class Server:
    """Serves clients that connect to a socket; protocol: its messages (`restem.warm.client`)."""

    def __init__(self, path: Path, protocol: Any) -> None:
        self._path, self._protocol = path, protocol
        self._owner = json.loads((path.parent / protocol.RUN).read_text())["owner"]
        self._clients: dict[int, socket.socket] = {}  # by the process that runs its job
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._ended, self._wake_up = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_up)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._ended, selectors.EVENT_READ)

    def serve(self) -> None:
        """Serve until the run has ended, and with it the last job."""
        while self._clients or self._is_wanted():
            for key, _ in self._selector.select(_LOOK_SECONDS):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj == self._ended:
                    with suppress(BlockingIOError):
                        os.read(self._ended, 4096)
                elif key.data in self._clients:
                    self._abandon(key.data)
            self._collect()

    def _is_wanted(self) -> bool:
        since = self._protocol.since(self._owner["process"])
        return self._path.exists() and since == self._owner["since"]

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            request, streams = self._protocol.receive(client)
        except (OSError, ValueError, EOFError):
            client.close()
            return
        server, child = os.getpid(), os.fork()
        if child == 0:
            die_with(server)
            self._close()
            client.close()
            become(request, streams)
            run()
        for stream in streams:
            os.close(stream)
        self._clients[child] = client
        self._selector.register(client, selectors.EVENT_READ, child)
        with suppress(OSError):  # a client that has gone is noticed by the selector
            self._protocol.send(client, {"child": child})

    def _close(self) -> None:
        """Close what a job must not inherit."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        os.close(self._ended)
        os.close(self._wake_up)
        self._listener.close()
        for client in self._clients.values():
            client.close()

    def _abandon(self, child: int) -> None:
        """End the job of a client that is gone: started cold, it would have been that client."""
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        self._selector.unregister(self._clients[child])

    def _collect(self) -> None:
        """Tell the clients whose jobs have ended how they ended."""
        while self._clients:
            child, status = os.waitpid(-1, os.WNOHANG)
            if not child:
                return
            client = self._clients.pop(child)
            with suppress(OSError, KeyError, ValueError):
                self._selector.unregister(client)
            with suppress(OSError):
                self._protocol.send(client, {"status": status})
            client.close()


def die_with(parent: int) -> None:
    """Let this process be killed when its parent ends: nobody could tell its client how it went."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def become(request: dict[str, Any], streams: list[int]) -> None:
    """Take over what the client has, as if its interpreter had just started."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
    sys.stdout, sys.stderr = _writer(1, sys.stdout), _writer(2, sys.stderr)
    os.chdir(request["folder"])
    os.umask(request["umask"])
    for name in os.environ.keys() - request["environment"].keys():
        del os.environ[name]
    os.environ.update(request["environment"])
    sys.argv, sys.path[:] = request["arguments"], request["path"]
    main = types.ModuleType("__main__")
    main.__file__ = sys.argv[0]
    sys.modules["__main__"] = main


def _writer(descriptor: int, like: Any) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(descriptor, "w", closefd=False)),
        encoding=like.encoding,
        errors=like.errors,
        line_buffering=os.isatty(descriptor) or descriptor == 2,
        write_through=bool(os.environ.get("PYTHONUNBUFFERED")),
    )


def run() -> NoReturn:
    """Run the command, and end as an interpreter ends."""
    code = 0
    try:
        importlib.import_module("restem.cli").main()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as problem:
        sys.excepthook(type(problem), problem, problem.__traceback__)
        code = -signal.SIGINT if isinstance(problem, KeyboardInterrupt) else 1
    with suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)


def main(path: Path, family: str) -> None:
    """Serve one family of jobs at a socket."""
    client = Path(__file__).with_name("client.py")
    protocol = types.ModuleType("protocol")
    exec(compile(client.read_text(), client, "exec"), vars(protocol))
    server = Server(path, protocol)
    for package in PACKAGES[family]:
        importlib.import_module(package)
    gc.collect()
    gc.freeze()  # what is imported stays shared among the forks
    server.serve()
    shutil.rmtree(path.parent, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
