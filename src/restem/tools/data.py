"""List, fetch and check what a study needs from elsewhere: what `restem data` does."""

from collections.abc import Callable, Mapping
from pathlib import Path

from restem.config.load import load_study, read_yaml
from restem.deployment.engines import SAMPLING, choose_for, with_engines
from restem.deployment.profile import find_profile
from restem.deployment.site import load_site
from restem.errors import RestemError
from restem.pages.document import aligned
from restem.pages.ledger import readable
from restem.study.graph import StudyGraph
from restem.tasks.hub import UnreachableError
from restem.tools.data_items import Items, Needed, is_here, items_of
from restem.tools.package_items import package_items

Say = Callable[[str], None]
FETCH = "restem data fetch --configfile <study>, where there is a network, with the same HF_HOME"
Problems = list[tuple[str, RestemError]]  # with the place


def command(action: str, study: Path, profile: str | None, wheels: Path | None, say: Say) -> None:
    """List, fetch or check what a study needs.

    study: its file. profile: that of the run, whose jobs may need images. wheels: folder for them;
    without it, none are listed. Raises RestemError with everything that is wrong.
    """
    does = {"list": list_data, "fetch": fetch_data, "check": check_data}
    items = needed(study, profile, wheels)
    try:
        does[action](items, say)
    except RestemError as error:
        fix = error.fix.replace("<study>", str(study))
        raise RestemError(error.what, str(study), fix) from error


def needed(study: Path, profile: str | None, wheels: Path | None) -> Items:
    """List what a study needs: data, prompts, models, packages, wheels and images."""
    found = find_profile(profile) if profile else None
    resources = found.resources(SAMPLING) if found else {}
    engine = choose_for(load_site(), resources, lambda: found is not None)
    graph = StudyGraph(with_engines(load_study(read_yaml(study), Path("config")), engine))
    return [*items_of(graph), *package_items(graph, found, wheels)]


def list_data(items: Items, say: Say) -> None:
    """Say what a study needs, with rows and sizes, and what of it is here."""
    sizes = Sizes()
    rows: list[tuple[str, ...]] = [("source", "files", "here", "rows", "size", "for")]
    rows += [_row(place, group, sizes) for place, group in _by_place(items).items()]
    say("\n".join([*aligned(rows, "l" * len(rows[0])), "", _summary(items, sizes)]))


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


def _by_place(items: Items) -> Mapping[str, Items]:
    groups: dict[str, list[Needed]] = {}
    for item in items:
        groups.setdefault(item.place, []).append(item)
    return groups


def _summary(items: Items, sizes: "Sizes") -> str:
    missing = [item for item in items if not is_here(item)]
    text = f"{len(items) - len(missing)} of {len(items)} files and models are here"
    if not missing:
        return text
    size = _size(missing, sizes)
    return f"{text}; to fetch: {len(missing)}, {size if size != '?' else 'sizes unknown'}"


class Sizes:
    """Sizes in bytes; the hub is asked for those of what is not here, until it is away."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], int | None] = {}
        self._reachable = True

    def of(self, item: Needed) -> int | None:
        """Return a size, None if it cannot be known."""
        key = (item.place, item.name)
        if key not in self._known:
            self._known[key] = item.size() if is_here(item) else self._ask(item)
        return self._known[key]

    def _ask(self, item: Needed) -> int | None:
        if self._reachable:
            try:
                return item.size_elsewhere()
            except UnreachableError:
                self._reachable = False
            except RestemError:
                pass  # said when it is fetched
        return None


def fetch_data(items: Items, say: Say) -> None:
    """Download, collect or build what is not here; what is complete stays as it is.

    Raises RestemError with everything that could not be had. Once the hub cannot be reached, it is
    not asked again.
    """
    sizes, away = Sizes(), None
    problems: Problems = []
    say(_summary(items, sizes))
    for number, item in enumerate(items, start=1):
        name = f"[{number}/{len(items)}] {item.place} {item.name}".rstrip()
        if is_here(item):
            say(f"{name}: here")
            continue
        if away and item.is_of_hub:
            problems.append((item.place, away))
            continue
        size = sizes.of(item)
        say(f"{name}: fetching{'' if size is None else f' {readable(size)}'}")
        try:
            item.path(local_only=False)
        except RestemError as problem:
            away = problem if isinstance(problem, UnreachableError) else away
            problems.append((item.place, problem))
    _raise_all(problems, "cannot be fetched")


def check_data(items: Items, say: Say) -> None:
    """Read everything that a study needs, and compare rows and digests with what is stated.

    Raises RestemError with everything that is missing, damaged or another.
    """
    problems: Problems = []
    for place, listed in _by_place(items).items():
        for item in listed:
            try:
                item.path()
                for line in item.check():
                    say(f"{place} {line}")
            except UnreachableError as problem:  # as if it had been looked for here only
                problems.append((place, RestemError(problem.what, problem.where, FETCH)))
            except RestemError as problem:
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
        "\n    ".join(fixes),
    )


def _described(place: str, problem: RestemError) -> str:
    """Say what is wrong, and where, if the source alone does not tell."""
    is_known = problem.where.startswith(place.partition(" at ")[0]) or problem.where in problem.what
    return f"{place}: {problem.what}" + ("" if is_known else f" ({problem.where})")
