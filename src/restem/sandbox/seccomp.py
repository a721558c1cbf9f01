"""The system call filter: classic BPF, written by hand so that it needs no library.

System calls that only an attack makes kill the process (failure `forbidden`). Calls that a harmless
library may try fail with an error. Numbers are those of Linux on x86_64 and aarch64.
"""

import errno
import os
import struct
from typing import Final

from restem.sandbox.limits import SandboxError

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_NAMESPACE_FLAGS = 0x7E020000
_AF_UNIX = 1
_CLONE3 = 435

_AUDIT: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE: Final = {"x86_64": 56, "aarch64": 220}
_SOCKET: Final = {"x86_64": 41, "aarch64": 198}
# On both: io_uring 425-427, mount calls 428-433 and 442, pidfd_getfd 438, memfd_secret 447.
_KILLED_EVERYWHERE: Final = (425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 442, 447)
_KILLED: Final = {
    # ptrace syslog pivot_root adjtimex chroot acct settimeofday mount umount2 swapon swapoff reboot
    # sethostname setdomainname iopl ioperm init/delete_module quotactl kexec_load clock_settime
    # add_key request_key keyctl unshare perf_event_open open_by_handle_at clock_adjtime setns
    # process_vm_readv process_vm_writev kcmp finit_module kexec_file_load bpf userfaultfd
    # name_to_handle_at fanotify_init modify_ldt
    "x86_64": (
        (101, 103, 155, 159, 161, 163, 164, 165, 166, 167, 168, 169, 170, 171, 172, 173, 175, 176)
        + (179, 246, 227, 248, 249, 250, 272, 298, 304, 305, 308, 310, 311, 312, 313, 320, 321, 323)
        + (303, 300, 154)
    ),
    "aarch64": (
        (117, 116, 41, 171, 51, 89, 170, 40, 39, 224, 225, 142, 161, 162, 105, 106, 60, 104, 112)
        + (217, 218, 219, 97, 241, 265, 266, 268, 270, 271, 272, 273, 294, 280, 282, 264, 262)
    ),
}
_REFUSED: Final = {
    # memfd_create shmget msgget semget mq_open inotify_init inotify_init1 personality setpriority
    # ioprio_set sched_setscheduler sched_setattr sched_setaffinity
    "x86_64": (319, 29, 68, 64, 240, 253, 294, 135, 141, 251, 144, 314, 203),
    "aarch64": (279, 194, 186, 190, 180, 26, 92, 140, 30, 119, 274, 122),
}


def filter_code(machine: str | None = None) -> bytes:
    """Return the filter as the kernel reads it, eight bytes per instruction.

    machine: x86_64 or aarch64, by default this one. Raises SandboxError for any other.
    """
    machine = machine or os.uname().machine
    if machine not in _AUDIT:
        raise SandboxError(
            f"there is no system call filter for {machine}",
            "restem.sandbox.seccomp",
            "grade code on x86_64 or aarch64",
        )
    code = [_step(_LOAD, _ARCHITECTURE), _step(_EQUAL, _AUDIT[machine], 1, 0)]
    code += [_step(_RETURN, _KILL), _step(_LOAD, _NUMBER)]
    if machine == "x86_64":  # the numbers of x32 lead to the same calls
        code += [_step(_AT_LEAST, 0x40000000, 0, 1), _step(_RETURN, _KILL)]
    actions = dict.fromkeys((*_KILLED[machine], *_KILLED_EVERYWHERE), _KILL)
    actions |= dict.fromkeys(_REFUSED[machine], _ERRNO | errno.EPERM)
    # The flags of clone3 are out of reach. If it does not exist, the C library uses clone instead.
    actions[_CLONE3] = _ERRNO | errno.ENOSYS
    for number, action in actions.items():
        code += [_step(_EQUAL, number, 0, 1), _step(_RETURN, action)]
    code += [_step(_EQUAL, _CLONE[machine], 0, 4), _step(_LOAD, _FIRST_ARGUMENT)]
    code += [_step(_ANY_BIT, _NAMESPACE_FLAGS, 0, 1), _step(_RETURN, _KILL)]
    code += [_step(_RETURN, _ALLOW)]
    code += [_step(_EQUAL, _SOCKET[machine], 0, 4), _step(_LOAD, _FIRST_ARGUMENT)]
    code += [_step(_EQUAL, _AF_UNIX, 1, 0), _step(_RETURN, _ERRNO | errno.EACCES)]
    code += [_step(_RETURN, _ALLOW)]
    return b"".join([*code, _step(_RETURN, _ALLOW)])


def _step(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", operation, if_true, if_false, value)
