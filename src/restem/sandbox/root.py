"""The bubblewrap command, with the minimal root that programs see.

The root contains an interpreter, its library, three devices and an empty /tmp.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from restem.sandbox import inside
from restem.sandbox.inside import driver, wire, zygote
from restem.sandbox.limits import SandboxError
from restem.sandbox.seccomp import filter_code

UID: Final = 65534
NEEDED_CAPABILITIES: Final = (5, 6, 7, 12, 21)  # kill, setgid, setuid, net_admin, sys_admin
SHARED: Final = "/python/shared"
PACKAGES: Final = "/python/packages"
INSIDE: Final = "/restem"
# Bound into the sandbox as files. Importing them here makes them part of the verifier's code.
MODULES: Final = (inside, driver, wire, zygote)
START: Final = (
    f"import sys; sys.path.append({INSIDE!r}); from box import zygote; "
    f"sys.path[-1] = {PACKAGES!r}; zygote.main()"
)
DEVICES: Final = ("null", "zero", "urandom")
VERSION: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
BUBBLEWRAP: Final = "install bubblewrap 0.4 or newer (Debian, Ubuntu, Fedora: package bubblewrap)"
NAMESPACES: Final = (
    "allow user namespaces: sysctl user.max_user_namespaces above 0, and where the kernel has them "
    "kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0; "
    "or ask the administrator to"
)


def command(control: int, packages: Sequence[str] = ()) -> list[str]:
    """Return the command that starts a zygote, given the descriptor of its control socket.

    packages: installed pure-Python packages that programs may import.

    If this process is root, root makes the mounts and the interpreter then gives up root for good;
    otherwise the mounts are made in a user namespace.
    """
    bubblewrap = shutil.which("bwrap")
    if bubblewrap is None:
        raise SandboxError("bubblewrap is missing", "bwrap on PATH", BUBBLEWRAP)
    return [bubblewrap, *_namespaces(), *_mounts(packages), *_interpreter(control)]


def is_root() -> bool:
    """Tell whether this process is root with the power to mount and to become another user.

    Root inside a container often has neither and is treated like any other user.
    """
    status = Path("/proc/self/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    capabilities = int(effective.split()[1], 16)
    if os.geteuid() != 0 or any(not capabilities >> bit & 1 for bit in NEEDED_CAPABILITIES):
        return False
    lines = Path("/proc/self/uid_map").read_text().splitlines()
    ranges = [list(map(int, line.split())) for line in lines]
    return any(first <= UID < first + count for first, _, count in ranges)


def _namespaces() -> list[str]:
    options = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    options += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    options += ["--hostname", "sandbox"]
    if is_root():
        return [*options, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return [*options, "--unshare-user", "--uid", str(UID), "--gid", str(UID)]


def _mounts(packages: Sequence[str]) -> list[str]:
    base = {"installed_base": sys.base_prefix, "base": sys.base_prefix}  # not a virtual environment
    library = Path(sysconfig.get_path("stdlib", vars=base))
    binds = {str(_python()): f"/python/bin/{VERSION}", str(library): f"/python/lib/{VERSION}"}
    extensions = Path(sysconfig.get_config_var("DESTSHARED") or library / "lib-dynload")
    if not extensions.is_relative_to(library):
        binds[str(extensions)] = f"/python/lib/{VERSION}/lib-dynload"
    binds |= _libraries(extensions)
    files = [Path(str(module.__file__)).resolve() for module in MODULES]
    binds |= {str(file): f"{INSIDE}/box/{file.name}" for file in files}
    installed = [_installed(name) for name in packages]
    binds |= {str(path): f"{PACKAGES}/{path.name}" for path in installed}
    parents = {str(parent) for path in binds.values() for parent in Path(path).parents}
    arguments = [word for path in sorted(parents) for word in ("--dir", path)]
    arguments += [word for pair in binds.items() for word in ("--ro-bind", *pair)]
    for name in ("site-packages", "dist-packages"):  # hide what the host has installed
        if (library / name).is_dir():
            arguments += ["--tmpfs", f"/python/lib/{VERSION}/{name}"]
            arguments += ["--remount-ro", f"/python/lib/{VERSION}/{name}"]
    arguments += ["--dir", "/dev"]
    for name in DEVICES:
        arguments += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    arguments += ["--proc", "/proc", "--dir", "/tmp", "--remount-ro", "/"]
    return [*arguments, "--chdir", "/tmp"]


def _interpreter(control: int) -> list[str]:
    environment = {
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "LD_LIBRARY_PATH": SHARED,
        "PATH": "/python/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "TZ": "UTC",
    }
    arguments = [word for pair in environment.items() for word in ("--setenv", *pair)]
    program = [f"/python/bin/{VERSION}", "-s", "-S", "-P", "-X", "utf8", "-c", START]
    return ["--clearenv", *arguments, "--", *program, str(control), str(UID), filter_code().hex()]


def _python() -> Path:
    return Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()


def _installed(name: str) -> Path:
    """Return the folder or file of an installed package."""
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or spec.origin is None:
        raise SandboxError(
            f"the package {name!r} is not installed",
            "reward.code.packages",
            "install it where restem runs, or leave it out",
        )
    return Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)


@cache
def _libraries(extensions: Path) -> dict[str, str]:
    """Map the shared libraries of the interpreter and its modules to their paths in the sandbox."""
    binaries = [str(_python()), *map(str, sorted(extensions.glob("*.so")))]
    try:
        ldd = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=False)
    except OSError as problem:
        raise SandboxError(f"ldd cannot be run: {problem}", "ldd", "install libc-bin") from problem
    libraries = {}
    for line in ldd.stdout.splitlines():
        name, arrow, rest = line.strip().partition(" => ")
        path = (rest if arrow else name).partition(" (")[0]
        if path.startswith("/") and not line.endswith(":"):
            libraries[path] = f"{SHARED}/{name}" if arrow else path  # the loader's path is fixed
    return libraries
