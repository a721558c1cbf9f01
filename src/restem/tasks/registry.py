"""Find a task by the name of its module."""

import importlib
import pkgutil
from functools import cache

import restem.tasks
from restem.errors import RestemError, nearest
from restem.tasks.task import Task


@cache
def load_task(name: str) -> Task:
    """Return the `TASK` of `restem.tasks.<name>`.

    Raises RestemError with the nearest name when there is no such task.
    """
    task = _declared(name) if name in _modules() else None
    if task is None:
        names = [other for other in _modules() if _declared(other)]
        raise RestemError(
            f"there is no task {name!r}{nearest(name, names)}",
            "restem.tasks",
            "name one of these tasks, or add a module that defines TASK",
        )
    return task


def _modules() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(restem.tasks.__path__)]


def _declared(name: str) -> Task | None:
    task = getattr(importlib.import_module(f"restem.tasks.{name}"), "TASK", None)
    return task if isinstance(task, Task) else None
