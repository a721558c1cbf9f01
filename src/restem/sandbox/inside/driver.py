"""Drive one program inside the sandbox. Everything here may be subverted by the program.

So nothing here decides anything: it carries inputs in and claims out. A program that takes over
the driver can say whatever it likes about its own results, which is what printing is, too.
"""

import atexit
import gc
import os
import random
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


class CandidateError(Exception):
    """Stand in a test for what went wrong in the candidate's own sandbox."""


class Stopped(BaseException):
    """End a test at its first failure."""


def open_streams() -> None:
    """Make the standard streams anew while they are what they will be: a file and two pipes."""
    with os.fdopen(os.memfd_create("stdin")) as stdin:
        os.dup2(stdin.fileno(), 0)
    ends = os.pipe()
    for place in (1, 2):
        os.dup2(ends[1], place)
    for place, mode in ((0, "r"), (1, "w"), (2, "w")):
        name = ("stdin", "stdout", "stderr")[place]
        stream = open(  # noqa: SIM115
            place, mode, encoding="utf-8", errors="surrogateescape", closefd=False
        )
        STREAMS.append(stream)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    for end in ends:
        os.close(end)


def drive(channel: socket.socket, limit: int) -> None:
    """Receive the job and do it; never returns."""
    job = wire.receive(channel, limit)
    random.seed(0)
    gc.enable()
    sys.argv = ["program"]
    {"stdin": run_script, "calls": serve_calls, "tests": run_tests}[job["mode"]](channel, job)
    os._exit(0)


def module(name: str) -> dict[str, Any]:
    """Make the module that a program is the text of."""
    made = types.ModuleType(name)
    sys.modules[name] = made
    return made.__dict__


def execute(job: dict[str, Any], namespace: dict[str, Any]) -> None:
    """Run the preamble, then the program, in one module."""
    if job["preamble"]:
        exec(compile(job["preamble"], "preamble.py", "exec"), namespace)
    exec(load(job["programs"]), namespace)


def load(programs: list[str]) -> Any:
    """Compile the first of several readings of a program that is syntactically valid."""
    for program in programs[:-1]:
        try:
            return compile(program, "program.py", "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return compile(programs[-1], "program.py", "exec")


def run_script(channel: socket.socket, job: dict[str, Any]) -> None:
    """Run a program from stdin to stdout, and end as the interpreter would."""
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
    """Load a program, then evaluate one expression or call a request."""
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
    named = dict(zip((kind.__name__ for kind in classes), classes, strict=True))
    while True:
        request = wire.receive(channel, 1 << 30)
        try:
            if "eval" in request:
                result = eval(request["eval"], namespace)
            else:
                arguments, keywords = wire.unpack(request["call"], named)
                result = candidate(*arguments, **keywords)
            reply = {"value": wire.pack(result, classes), "cpu": time.process_time()}
        except BaseException as problem:
            reply = failure(problem)
        wire.send(channel, reply)


def find(namespace: dict[str, Any], entry: str) -> Any:
    """Return the function of an entry point, wherever the program has put it."""
    name = entry.rpartition(".")[2]
    if entry == name and name not in namespace and "Solution" in namespace:
        return getattr(namespace["Solution"](), name)
    if entry.startswith("Solution()") and "Solution" not in namespace:
        return namespace[name]
    return eval(entry, namespace)


def failure(problem: BaseException) -> dict[str, Any]:
    """Describe an exception in JSON data."""
    text = "".join(traceback.format_exception(problem))[-MAX_TEXT:]
    return {"error": type(problem).__name__, "text": text, "cpu": time.process_time()}


def run_tests(channel: socket.socket, job: dict[str, Any]) -> None:
    """Run a benchmark's test code against stubs that ask the host for the candidate's results."""
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
