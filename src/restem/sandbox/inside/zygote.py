"""The zygote, a pre-forked interpreter: start a process in new namespaces for every request.

It sees no program, no input and no result, because the host and the new process have a channel of
their own. So its memory contains nothing that a later program could inherit.
"""

import array
import ctypes
import fcntl
import gc
import json
import os
import resource
import signal
import socket
import sys
from typing import Any, ClassVar

from . import driver

# Not threading, nor what imports it: its hook after a fork takes half a millisecond per program.
PRELOADED = (
    "abc bisect collections contextlib copy dataclasses datetime decimal enum fractions functools "
    "heapq io itertools json math operator random re statistics string textwrap time traceback "
    "types typing"
)
# User, processes and mounts. Networks, IPC and host names are the zygote's: the filter refuses what
# could leave something in them, and local sockets close with their process.
NEW_NAMESPACES = 0x10000000 | 0x20000000 | 0x00020000
CLONE = {"x86_64": 56, "aarch64": 220}.get(os.uname().machine, -1)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
# PyDLL holds the interpreter's lock, because nothing may run between clone and its bookkeeping.
libc = ctypes.PyDLL(None, use_errno=True)

# Made once here; a new process would take longer for their types than for all of its limits.
CAPSET_HEADER, NO_CAPABILITIES = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()


class Filter(ctypes.Structure):
    """The kernel's sock_fprog."""

    _fields_: ClassVar = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]


def check(result: int, what: str) -> int:
    """Return the result of a system call. Raises OSError with its errno if it failed."""
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
    driver.complete_builtins()
    gc.disable()
    gc.collect()
    gc.freeze()
    control.send(b'{"ready": true}')
    while request := receive(control):
        serve(control, *request, uid, program)


def leave_root(uid: int) -> None:
    """Become the sandbox's user for good, if root has set up the sandbox."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def receive(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return the limits and the four descriptors of a request, or None if there are no more."""
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
    """Start the process of a request; send the host its descriptor, and later how it ended."""
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
    reply = {"status": status, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss}
    control.send(json.dumps(reply).encode())


def become(limits: dict[str, Any], descriptors: list[int], uid: int, program: Filter) -> None:
    """Isolate the new process, then let the driver run its program; never return."""
    channel = None
    try:
        channel = arrange(descriptors)
        map_user(uid)
        mount_private(limits["files_mib"])
        os.setpgid(0, 0)  # the session is the sandbox's own, and a new one takes longer
        restrict(limits)
        check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
        check(libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0), "seccomp")
    except BaseException as problem:  # the host must hear of any failure
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
    # Above 3, and no higher than it must be: the machine may allow few open files.
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 4) for descriptor in descriptors]
    for target, descriptor in enumerate(moved):
        os.dup2(descriptor, target)
    os.closerange(4, 4096)
    return socket.socket(fileno=3)


def map_user(uid: int) -> None:
    """Map the sandbox's user and group to themselves in the new user namespace."""
    identity = f"{uid} {uid} 1"
    for name, text in (("setgroups", "deny"), ("uid_map", identity), ("gid_map", identity)):
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(descriptor, text.encode())
        os.close(descriptor)


def mount_private(files_mib: int) -> None:
    """Mount an empty private /tmp, and hide /proc behind an empty read-only file system."""
    size = f"size={files_mib}m,nr_inodes=4096,mode=700".encode()
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    check(libc.mount(b"tmpfs", b"/tmp", b"tmpfs", flags, size), "mount /tmp")
    size = b"size=4k,nr_inodes=1,mode=555"
    check(libc.mount(b"tmpfs", b"/proc", b"tmpfs", flags | MS_RDONLY, size), "mount /proc")
    os.chdir("/tmp")


def restrict(limits: dict[str, Any]) -> None:
    """Set limits, drop all capabilities, and die when the zygote does."""
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
        hard = resource.getrlimit(kind)[1]  # the machine's own limit may be lower
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    drop_capabilities()
    check(libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable")


def drop_capabilities() -> None:
    """Clear the effective, permitted and inheritable sets (capset, version 3)."""
    check(libc.capset(CAPSET_HEADER, NO_CAPABILITIES), "capset")
