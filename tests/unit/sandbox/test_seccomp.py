import struct

import pytest

from restem.sandbox.limits import SandboxError
from restem.sandbox.seccomp import filter_code

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CLONE = {"x86_64": 56, "aarch64": 220}


def decide(machine, number, argument=0, audit=None):
    """Run the filter as the kernel does: with an accumulator and forward jumps."""
    code = list(struct.iter_unpack("<HBBI", filter_code(machine)))
    data = {0: number, 4: audit or AUDIT[machine], 16: argument}
    place = accumulator = 0
    while True:
        operation, if_true, if_false, value = code[place]
        place += 1
        if operation == 0x20:
            accumulator = data[value]
        elif operation == 0x06:
            return value
        else:
            holds = {
                0x15: accumulator == value,
                0x35: accumulator >= value,
                0x45: bool(accumulator & value),
            }[operation]
            place += if_true if holds else if_false


@pytest.mark.parametrize("machine", AUDIT)
def test_ordinary_calls_pass(machine):
    for number in (0, 1, 3, 63, 64, 93, 96, 113, 222, 231, 257, 318, 334):
        assert decide(machine, number) == ALLOW or number in (64, 113, 257)


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 101), ("aarch64", 117)])
def test_tracing_kills(machine, number):
    assert decide(machine, number) == KILL


@pytest.mark.parametrize("machine", AUDIT)
@pytest.mark.parametrize("number", [425, 428, 442, 447])
def test_the_new_calls_with_common_numbers_kill(machine, number):
    assert decide(machine, number) == KILL


@pytest.mark.parametrize("machine", AUDIT)
def test_another_architecture_kills(machine):
    assert decide(machine, 0, audit=0x40000003) == KILL


def test_the_x32_numbers_kill():
    assert decide("x86_64", 0x40000000 + 101) == KILL


@pytest.mark.parametrize("machine", AUDIT)
@pytest.mark.parametrize("bit", range(17, 31))
def test_a_clone_into_any_namespace_kills_and_a_thread_does_not(machine, bit):
    namespaces = {17, 25, 26, 27, 28, 29, 30}
    expected = KILL if bit in namespaces else ALLOW
    assert decide(machine, CLONE[machine], 1 << bit) == expected
    assert decide(machine, CLONE[machine], 0x3D0F00) == ALLOW  # what a thread is made with
    assert decide(machine, 435) & ~0xFFFF == ERRNO


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 41), ("aarch64", 198)])
def test_sockets_are_local_only(machine, number):
    assert decide(machine, number, 1) == ALLOW
    for family in (0, 2, 10, 16, 17, 38, 40):
        assert decide(machine, number, family) & ~0xFFFF == ERRNO


def test_an_unknown_processor_is_refused():
    with pytest.raises(SandboxError, match="no system call filter for riscv64"):
        filter_code("riscv64")
