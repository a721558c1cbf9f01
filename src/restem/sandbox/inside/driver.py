"""Run one program inside the sandbox. The program may take over everything in this module.

Therefore nothing is decided here: inputs go in, claims come out. A program that takes over the
driver can lie about its own results, but it can do that by printing, too.
"""

import atexit
import builtins
import gc
import io
import os
import random
import site
import socket
import sys
import time
import traceback
import types
from typing import Any

from . import wire

READY = b"R"
MAX_TEXT = 2_000
STREAMS: list[Any] = []
PROGRAM_FILE = "/tmp/program.py"
STREAM_NAMES = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2} | {
    f"{folder}/{number}": number for folder in ("/dev/fd", "/proc/self/fd") for number in range(3)
}
_open = io.open


class CandidateError(Exception):
    """Raised in test code when the candidate has failed in its own sandbox."""


class Stopped(BaseException):
    """Raised to end test code at its first failure."""


def open_streams() -> None:
    """Open the standard streams once for all programs, on a file and two pipes as they will have.

    Python examines what is behind a stream when it opens it, so it must be of the right kind now.
    """
    with os.fdopen(os.memfd_create("stdin")) as stdin:
        os.dup2(stdin.fileno(), 0)
    pipe = os.pipe()
    for descriptor in (1, 2):
        os.dup2(pipe[1], descriptor)
    for descriptor, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        stream = open(  # noqa: SIM115
            descriptor, mode, encoding="utf-8", errors="surrogateescape", closefd=False
        )
        STREAMS.append(stream)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    for descriptor in pipe:
        os.close(descriptor)


def complete_builtins() -> None:
    """Add what the interpreter lacks here: `exit` and the like, and `open` for /dev/stdin.

    `python -S` does not run `site`, and without /proc no path leads to the standard streams.
    """
    site.setquit()
    site.sethelper()
    site.setcopyright()
    builtins.open = io.open = open_file


def open_file(file: Any, *arguments: Any, **options: Any) -> Any:
    """Open a file as `open` does; the names of the standard streams open these."""
    if isinstance(file, (str, os.PathLike)) and os.fspath(file) in STREAM_NAMES:
        file = os.dup(STREAM_NAMES[os.fspath(file)])
    return _open(file, *arguments, **options)


def drive(channel: socket.socket, limit: int) -> None:
    """Receive the job and do it; never return."""
    job = wire.receive(channel, limit)
    random.seed(0)
    gc.enable()
    sys.argv = [PROGRAM_FILE]
    {"stdin": run_script, "calls": serve_calls, "tests": run_tests}[job["mode"]](channel, job)
    os._exit(0)


def module(name: str) -> dict[str, Any]:
    """Make an empty module for a program; return its namespace."""
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__file__ = PROGRAM_FILE
    return sys.modules[name].__dict__


def execute(job: dict[str, Any], namespace: dict[str, Any]) -> None:
    """Run the preamble and then the program in one namespace."""
    if job["preamble"]:
        exec(compile(job["preamble"], "preamble.py", "exec"), namespace)
    exec(load(job["programs"]), namespace)


def load(programs: list[str]) -> Any:
    """Compile the first syntactically valid one of several readings of a program."""
    programs = [program.removeprefix("\ufeff") for program in programs]
    for program in programs[:-1]:
        try:
            return compile(program, "program.py", "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return compile(programs[-1], "program.py", "exec")


def run_script(channel: socket.socket, job: dict[str, Any]) -> None:
    """Run a program that reads stdin and prints, and exit as the interpreter would."""
    channel.close()
    code = 0
    try:
        execute(job, module("__main__"))
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.stderr.write(traceback.format_exc()[-MAX_TEXT:])
        code = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr, *STREAMS):
        try:
            stream.flush()
        except BaseException:  # the program has closed or replaced it
            continue
    os._exit(code & 255)


def serve_calls(channel: socket.socket, job: dict[str, Any]) -> None:
    """Load a program, then evaluate one expression or make one call per request."""
    try:
        namespace = module("solution")
        execute(job, namespace)
        exec(compile(job["setup"], "setup.py", "exec"), namespace)
        candidate: Any = find(namespace, job["entry"]) if job["entry"] else None
    except BaseException as problem:
        wire.send(channel, failure(problem))
        return
    if job["bind"]:
        namespace[job["bind"]] = candidate
    wire.send(channel, {"value": [None], "cpu": time.process_time()})
    classes = tuple(namespace[name] for name in job["classes"] if name in namespace)
    classes_by_name = {kind.__name__: kind for kind in classes}
    while True:
        request = wire.receive(channel, 1 << 30)
        try:
            if "eval" in request:
                result = eval(request["eval"], namespace)
            else:
                arguments, keywords = wire.unpack(request["call"], classes_by_name)
                result = candidate(*arguments, **keywords)
            reply = {"value": wire.pack(result, classes), "cpu": time.process_time()}
        except BaseException as problem:
            reply = failure(problem)
        wire.send(channel, reply)


def find(namespace: dict[str, Any], entry: str) -> Any:
    """Return the function of an entry point, inside a class `Solution` or outside."""
    name = entry.rpartition(".")[2]
    if entry == name and name not in namespace and "Solution" in namespace:
        return getattr(namespace["Solution"](), name)
    if entry.startswith("Solution()") and "Solution" not in namespace:
        return namespace[name]
    return eval(entry, namespace)


def failure(problem: BaseException) -> dict[str, Any]:
    """Return an exception as JSON data."""
    text = "".join(traceback.format_exception(problem))[-MAX_TEXT:]
    return {"error": type(problem).__name__, "text": text, "cpu": time.process_time()}


def run_tests(channel: socket.socket, job: dict[str, Any]) -> None:
    """Run a benchmark's test code; its calls of the candidate are sent to the host as questions."""
    namespace = module("tests")
    classes: list[type] = []

    def ask(arguments: Any, keywords: Any) -> Any:
        wire.send(channel, {"ask": wire.pack((arguments, keywords), tuple(classes))})
        reply = wire.receive(channel, 1 << 30)
        if "error" in reply:
            raise CandidateError(reply["error"])
        return wire.unpack(reply["value"], {kind.__name__: kind for kind in classes})

    def record(test: Any) -> None:
        try:
            passed, text = bool(test()), None
        except Exception as problem:
            passed, text = False, f"{type(problem).__name__}: {problem}"[-MAX_TEXT:]
        wire.send(channel, {"assert": passed, "text": text})
        if not passed and job["stop"]:
            raise Stopped

    def candidate(*arguments: Any, **keywords: Any) -> Any:
        return ask(arguments, keywords)

    try:
        exec(compile(job["setup"], "setup.py", "exec"), namespace)
        classes += [namespace[name] for name in job["classes"]]
        namespace.update(dict.fromkeys(job["names"], candidate))
        namespace[job["recorder"]] = record
        exec(compile(job["tests"], "tests.py", "exec"), namespace)
        wire.send(channel, {"done": None})
    except Stopped:
        wire.send(channel, {"done": None})
    except BaseException as problem:
        wire.send(channel, {"done": failure(problem)["text"]})
