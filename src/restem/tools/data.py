"""List, fetch and check what a study reads from elsewhere: what `restem data` does."""

from collections.abc import Callable

from restem.errors import RestemError
from restem.pages.ledger import readable
from restem.study.graph import StudyGraph
from restem.tasks.hub import UnreachableError
from restem.tools.data_items import Item, Items, ModelItem, is_here, items_of

Say = Callable[[str], None]
Problems = list[tuple[str, RestemError]]  # with the place


def list_data(graph: StudyGraph, say: Say) -> None:
    """Say what a study reads: data sets, wheels and models, rows, sizes, and what is here."""
    items, sizes = items_of(graph), Sizes()
    rows: list[tuple[str, ...]] = [("source", "files", "here", "rows", "size", "read by")]
    rows += [_row(place, group, sizes) for place, group in _by_place(items).items()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    say("\n".join([*lines, "", _summary(items, sizes)]))


def _row(place: str, items: Items, sizes: "Sizes") -> tuple[str, ...]:
    users = dict.fromkeys(user for item in items for user in item.users)
    counts = [item.rows for item in items]
    rows = "" if None in counts else f"{sum(filter(None, counts)):,}"
    here = sum(map(is_here, items))
    return place, str(len(items)), str(here), rows, _size(items, sizes), ", ".join(users)


def _size(items: Items, sizes: "Sizes") -> str:
    known = [size for item in items if (size := sizes.of(item)) is not None]
    text = readable(sum(known)) if known else ""
    return text if len(known) == len(items) else f"{text} + ?".removeprefix(" + ")


def _by_place(items: Items) -> dict[str, Items]:
    groups: dict[str, Items] = {}
    for item in items:
        groups.setdefault(item.place, []).append(item)
    return groups


def _summary(items: Items, sizes: "Sizes") -> str:
    missing: Items = [item for item in items if not is_here(item)]
    text = f"{len(items) - len(missing)} of {len(items)} files and models are here"
    return text + (f"; to fetch: {len(missing)}, {_size(missing, sizes)}" if missing else "")


class Sizes:
    """Sizes in bytes; the hub is asked for those of what is not here, until it is away."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], int | None] = {}
        self._reachable = True

    def of(self, item: Item | ModelItem) -> int | None:
        """Return a size, None if it cannot be known."""
        key = (item.place, item.name)
        if key not in self._known:
            self._known[key] = item.size() if is_here(item) else self._ask(item)
        return self._known[key]

    def _ask(self, item: Item | ModelItem) -> int | None:
        if self._reachable:
            try:
                return item.size_elsewhere()
            except UnreachableError:
                self._reachable = False
            except RestemError:
                pass  # said when it is fetched
        return None


def fetch_data(graph: StudyGraph, say: Say) -> None:
    """Download what is not here; a file that is complete is not downloaded again.

    Raises RestemError with everything that could not be had; without a network, at once.
    """
    items, sizes = items_of(graph), Sizes()
    problems: Problems = []
    say(_summary(items, sizes))
    for number, item in enumerate(items, start=1):
        name = f"[{number}/{len(items)}] {item.place} {item.name}".rstrip()
        if is_here(item):
            say(f"{name}: here")
            continue
        size = sizes.of(item)
        say(f"{name}: fetching{'' if size is None else f' {readable(size)}'}")
        try:
            item.path(local_only=False)
        except UnreachableError as problem:
            raise problem from None
        except RestemError as problem:
            problems.append((item.place, problem))
    _raise_all(problems, "cannot be fetched")


def check_data(graph: StudyGraph, say: Say) -> None:
    """Read every file of a study, and compare rows and digests with what is stated.

    Raises RestemError with every file that is missing, damaged or another.
    """
    problems: Problems = []
    for place, items in _by_place(items_of(graph)).items():
        for item in items:
            try:
                item.path()
                for line in item.check():
                    say(f"{place} {line}")
            except RestemError as problem:
                say(_described(place, problem))
                problems.append((place, problem))
    _raise_all(problems, "are missing, damaged or not what the study expects")


def _raise_all(problems: Problems, what: str) -> None:
    """Raise an error with all problems: of a source, the first with each way out."""
    if not problems:
        return
    groups: dict[tuple[str, str], list[RestemError]] = {}
    for place, problem in problems:
        groups.setdefault((place, problem.fix), []).append(problem)
    lines = [
        _described(place, group[0]) + (f" (and {len(group) - 1} more)" if len(group) > 1 else "")
        for (place, _), group in groups.items()
    ]
    fixes = dict.fromkeys(fix for _, fix in groups)
    raise RestemError(
        f"{len(problems)} files or models {what}:" + "".join(f"\n  - {line}" for line in lines),
        "what the study reads",
        "; ".join(fixes),
    )


def _described(place: str, problem: RestemError) -> str:
    """Say what is wrong, and where, if the source alone does not tell."""
    is_known = problem.where.startswith(place.partition(" at ")[0]) or problem.where in problem.what
    return f"{place}: {problem.what}" + ("" if is_known else f" ({problem.where})")
