"""This machine: packages against the locks, GPUs against the models, disk against the forecast."""

import getpass
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from restem.artifacts.digests import PACKAGE_ROOT
from restem.deployment.engines import slow_on_this_cpu
from restem.deployment.environments import DISTINCTIVE_PACKAGES
from restem.doctor.findings import Findings, check, error, ok, skipped, warning
from restem.doctor.folders import mounted_at
from restem.doctor.subject import Subject
from restem.errors import RestemError
from restem.pages.ledger import readable
from restem.tools.new import Machine

LOCKS: Final = PACKAGE_ROOT.parents[1] / "envs"
SHARE: Final = 0.9  # of memory that weights and optimiser may take; activations need some


@check("machine")
def has_locked_packages(subject: Subject) -> Findings:
    """Compare the installed packages with the locks of the stages."""
    if subject.profile and subject.profile.is_contained:
        yield skipped("packages: the jobs run in images, which hold the locked ones")
        return
    missing: dict[str, str] = {}
    others: dict[str, str] = {}
    for family in subject.lock_families:
        if package := DISTINCTIVE_PACKAGES.get(family):
            yield from _own_environment(family, package)
            continue
        for name, version in locked(LOCKS / f"{family}.txt").items():
            found = _installed(name)
            if found is None:
                missing[name] = family
            elif found.split("+")[0] != version:
                others[name] = f"{name} {found} instead of {version}"
    if missing:
        names = ", ".join(sorted(missing))
        files = sorted(set(missing.values()))
        yield error(
            f"packages are not installed: {names}",
            "; ".join(f"pip install --no-deps -r envs/{family}.txt" for family in files),
        )
    if others:
        yield warning(
            f"packages differ from the locks, so results may, too: {', '.join(others.values())}",
            "rm -r .venv, then make demo",
        )
    if not missing and not others:
        yield ok("the installed packages are those of the locks")


def locked(lock: Path) -> dict[str, str]:
    """Return the versions of a lock file by package."""
    pins = (line.split()[0] for line in lock.read_text().splitlines() if "==" in line)
    return dict(pin.split("==", 1) for pin in pins if not pin.startswith("#"))


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _own_environment(family: str, package: str) -> Findings:
    python = PACKAGE_ROOT.parents[1] / f".venv-{family}" / "bin" / "python"
    if python.is_file() or importlib.util.find_spec(package):
        yield ok(f"the environment of {package} is set up")
    else:
        yield error(f"the environment of {package} is not set up: {python}", f"make {family}")


@check("machine")
def has_compiled_packages(subject: Subject) -> Findings:
    """Look whether torch is compiled, or will be by the first job; else every job compiles it."""
    if subject.profile and subject.profile.is_contained:
        yield skipped("compiled packages: the jobs run in images, which hold them")
        return
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.cached is None or torch.origin is None:
        return  # that it is missing is said elsewhere
    if Path(torch.cached).is_file():
        yield ok("torch is compiled")
    elif sys.dont_write_bytecode or not os.access(Path(torch.origin).parent, os.W_OK):
        yield warning(
            "torch is not compiled, and no job may write what it compiles: each compiles it again, "
            "for ten seconds or more",
            "unset PYTHONDONTWRITEBYTECODE, or have the packages compiled: python -m compileall",
        )
    else:
        yield ok("torch will be compiled by the first job")


@check("machine")
def has_the_types_of_numbers(subject: Subject) -> Findings:
    """Look for bfloat16 on a CPU that has none, unless jobs run on other machines."""
    if subject.is_remote:
        yield skipped("types of numbers: the jobs run on other machines")
    elif slow := slow_on_this_cpu(subject.study):
        yield warning(slow, "set it to float32, unless memory is short")
    else:
        yield ok("the study asks for no type of numbers that this machine emulates")


@check("machine")
def has_gpu_memory(subject: Subject) -> Findings:
    """Compare what fine-tuning and sampling need at least with the memory of this GPU."""
    unknown = set(subject.study.models) - set(subject.parameters)
    if unknown:
        yield skipped(f"memory: the size of {', '.join(sorted(unknown))} is not known")
        return
    needs = _needs(subject)
    listed = ", ".join(f"{name} {readable(size)}" for name, size in needs.items())
    gpu = Machine.here().gpu_gib * 2**30
    if not gpu:
        yield skipped(f"no GPU here; without activations, a process needs {listed}")
        return
    large = {name: size for name, size in needs.items() if size > SHARE * gpu}
    for name, size in large.items():
        yield error(
            f"{name} needs {readable(size)} without activations, and a GPU here has "
            f"{readable(gpu)}",
            "train with adapters (training.lora), share it among GPUs (training.processes and "
            "training.shard: weights), or use larger GPUs",
        )
    if not large:
        yield ok(f"a GPU here has {readable(gpu)}; without activations, a process needs {listed}")


def _needs(subject: Subject) -> dict[str, float]:
    """Return the bytes that one process needs by model: for training, or for its weights."""
    needs = {}
    training = subject.forecast.memory()
    for name, model in subject.study.models.items():
        width = 2 if model.engine.dtype == "bfloat16" else 4
        weights = width * subject.parameters[name] / model.engine.tensor_parallel
        needs[name] = max(weights, training.get(name, 0.0))
    return needs


@check("machine")
def has_disk(subject: Subject) -> Findings:
    """Compare free disk space and quotas with the forecast."""
    unknown = set(subject.study.models) - set(subject.parameters)
    if unknown:
        yield skipped(f"disk: the size of {', '.join(sorted(unknown))} is not known")
        return
    try:
        disk = subject.forecast.disk()
    except RestemError as problem:  # of the data, which is said there
        yield skipped(f"disk: there is no forecast: {problem.what}")
        return
    needed, folder = disk.all + disk.states, subject.folder.resolve()
    least = disk.final + disk.states
    free = {"free space": float(shutil.disk_usage(folder).free)}
    if (left := quota_left(folder)) is not None:
        free["your quota"] = left
    for name, size in free.items():
        if size < least:
            yield error(
                f"{name} of {folder} is {readable(size)}, and the study takes {readable(least)} "
                "even if restem prune deletes what is not needed",
                "use a clone on a larger file system, or save less: training.save_dtype, "
                "training.lora with merged: false, fewer seeds",
            )
        elif size < needed:
            yield warning(
                f"{name} of {folder} is {readable(size)}, and all checkpoints take "
                f"{readable(needed)}",
                f"delete what is not needed now and then: restem prune --configfile {subject.path}",
            )
        else:
            yield ok(f"{name} of {folder} is {readable(size)}; the study takes {readable(needed)}")


def quota_left(folder: Path) -> float | None:
    """Return the bytes that the user's quota leaves on a file system; None if there is none."""
    device, _ = mounted_at(folder)
    commands = [("quota", "-w", "-p"), ("lfs", "quota", "-q", "-u", getpass.getuser(), str(folder))]
    left = [_left(command, device, folder) for command in commands if shutil.which(command[0])]
    return min((value for value in left if value is not None), default=None)


def _left(command: tuple[str, ...], device: str, folder: Path) -> float | None:
    """Find a file system, what is used of it, soft and hard limit, in blocks of 1024 bytes."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    words, names = done.stdout.split(), {device, *map(str, [folder, *folder.parents])}
    for place, word in enumerate(words):
        numbers = [number.rstrip("*") for number in words[place + 1 : place + 4]]
        if word in names and len(numbers) == 3 and all(map(str.isdigit, numbers)):
            used, soft, hard = (1024.0 * int(number) for number in numbers)
            limits = [limit for limit in (soft, hard) if limit]
            return max(0.0, min(limits) - used) if limits else None
    return None
