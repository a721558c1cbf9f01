"""The pre-forked interpreter: start one process in fresh namespaces for every request.

It knows no program, no input and no result: those travel between the host and the new process on
a channel of their own. So there is nothing in its memory that a later program could inherit.
"""

import array
import ctypes
import gc
import json
import os
import resource
import signal
import socket
import sys
from typing import Any, ClassVar

from . import driver

# Not threading, nor what imports it: its hook after a fork costs each program half a millisecond.
PRELOADED = (
    "abc bisect collections contextlib copy dataclasses datetime decimal enum fractions functools "
    "heapq io itertools json math operator random re statistics string textwrap time traceback "
    "types typing"
)
NEW_NAMESPACES = 0x10000000 | 0x20000000 | 0x00020000 | 0x08000000 | 0x40000000 | 0x04000000
CLONE = {"x86_64": 56, "aarch64": 220}.get(os.uname().machine, -1)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
# PyDLL keeps the interpreter's lock: between clone and its bookkeeping nothing else may run.
libc = ctypes.PyDLL(None, use_errno=True)


class Filter(ctypes.Structure):
    """The kernel's sock_fprog."""

    _fields_: ClassVar = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]


def check(result: int, what: str) -> int:
    """Return a system call's result; raise OSError with its errno when it failed."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def main() -> None:
    """Serve requests on the control socket until it is closed."""
    control = socket.socket(fileno=int(sys.argv[1]))
    uid, code = int(sys.argv[2]), bytes.fromhex(sys.argv[3])
    for name in PRELOADED.split():
        __import__(name)
    leave_root(uid)
    check(libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")
    filter_code = ctypes.create_string_buffer(code, len(code))
    program = Filter(len(code) // 8, ctypes.cast(filter_code, ctypes.c_void_p))
    driver.open_streams()
    gc.disable()
    gc.collect()
    gc.freeze()
    control.send(b'{"ready": true}')
    while request := receive(control):
        serve(control, *request, uid, program)


def leave_root(uid: int) -> None:
    """Become the sandbox's user for good, where the sandbox was set up by root."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def receive(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return the limits and the four descriptors of a request, or None at the end."""
    body, ancillary, _, _ = control.recvmsg(4096, socket.CMSG_SPACE(4 * array.array("i").itemsize))
    if not body:
        return None
    descriptors = array.array("i")
    for _, _, data in ancillary:
        descriptors.frombytes(data)
    return json.loads(body), list(descriptors)


def serve(
    control: socket.socket,
    limits: dict[str, Any],
    descriptors: list[int],
    uid: int,
    program: Filter,
) -> None:
    """Start the process of a request, tell the host its descriptor, and then how it ended."""
    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    pid = libc.syscall(CLONE, NEW_NAMESPACES | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        python.PyOS_AfterFork_Child()
        become(limits, descriptors, uid, program)
    code = ctypes.get_errno()
    python.PyOS_AfterFork_Parent()
    for descriptor in descriptors:
        os.close(descriptor)
    if pid < 0:
        control.send(json.dumps({"failed": f"clone: {os.strerror(code)}"}).encode())
        return
    handle = os.pidfd_open(pid)
    socket.send_fds(control, [b'{"started": true}'], [handle])
    os.close(handle)
    _, status, usage = os.wait4(pid, 0)
    ended = {"status": status, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss}
    control.send(json.dumps(ended).encode())


def become(limits: dict[str, Any], descriptors: list[int], uid: int, program: Filter) -> None:
    """Turn the new process into a program's: close everything, lock the walls, then drive it."""
    channel = None
    try:
        channel = arrange(descriptors)
        map_user(uid)
        mount_private(limits["files_mib"])
        os.setsid()
        restrict(limits)
        check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
        check(libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0), "seccomp")
    except BaseException as problem:  # the host must hear of it, whatever it was
        if channel is not None:
            channel.send(f"E{type(problem).__name__}: {problem}".encode())
        os._exit(125)
    try:
        channel.send(driver.READY)
        driver.drive(channel, limits["message_bytes"])
    finally:
        os._exit(125)


def arrange(descriptors: list[int]) -> socket.socket:
    """Put stdin, stdout, stderr and the channel at 0 to 3 and close every other descriptor."""
    high = [os.dup2(descriptor, 100 + place) for place, descriptor in enumerate(descriptors)]
    for place, descriptor in enumerate(high):
        os.dup2(descriptor, place)
    os.closerange(4, 4096)
    return socket.socket(fileno=3)


def map_user(uid: int) -> None:
    """Keep the sandbox's user and group in the new user namespace."""
    identity = f"{uid} {uid} 1"
    for name, text in (("setgroups", "deny"), ("uid_map", identity), ("gid_map", identity)):
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(descriptor, text.encode())
        os.close(descriptor)


def mount_private(files_mib: int) -> None:
    """Give the program an empty /tmp of its own and no /proc at all."""
    size = f"size={files_mib}m,nr_inodes=4096,mode=700".encode()
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    check(libc.mount(b"tmpfs", b"/tmp", b"tmpfs", flags, size), "mount /tmp")
    size = b"size=4k,nr_inodes=1,mode=555"
    check(libc.mount(b"tmpfs", b"/proc", b"tmpfs", flags | MS_RDONLY, size), "mount /proc")
    os.chdir("/tmp")


def restrict(limits: dict[str, Any]) -> None:
    """Set the limits of a process, drop every capability, die with the interpreter above."""
    os.umask(0o077)
    check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "pdeathsig")
    mebibyte = 1 << 20
    for name, value in {
        "RLIMIT_CPU": limits["cpu_seconds"],
        "RLIMIT_AS": limits["memory_mib"] * mebibyte,
        "RLIMIT_NPROC": limits["processes"],
        "RLIMIT_FSIZE": limits["files_mib"] * mebibyte,
        "RLIMIT_NOFILE": 64,
        "RLIMIT_STACK": limits["stack_mib"] * mebibyte,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_SIGPENDING": 64,
        "RLIMIT_RTPRIO": 0,
        "RLIMIT_NICE": 0,
    }.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]  # a site's own limit may be lower
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    drop_capabilities()
    check(libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable")


def drop_capabilities() -> None:
    """Clear the effective, permitted and inheritable sets (capset, version 3)."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    check(libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
