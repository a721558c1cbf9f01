"""Read what a Snakemake profile asks of a cluster, as far as it is stated in plain numbers."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import humanfriendly
import yte

from restem.deployment.site import Site, missing_resources
from restem.errors import RestemError

ON_THIS_MACHINE: Final = (None, "local", "dryrun", "touch")  # executors
DEPLOYMENT: Final = ("software-deployment-method", "sdm", "deployment-method", "deployment")


@dataclass(frozen=True)
class Request:
    """What the jobs of a rule ask for, with the settings of the site.

    rule: its name, or `other rules`. resources: by Snakemake's names; memory in MB, time in
    minutes. unread: names of those whose values are expressions.
    """

    rule: str
    resources: Mapping[str, Any]
    unread: tuple[str, ...] = ()

    @property
    def gpus(self) -> int:
        """Return the number of GPUs, 0 where it is not stated in numbers."""
        value = self.resources.get("gpu")
        return value if isinstance(value, int) else 0


@dataclass(frozen=True)
class Profile:
    """A Snakemake profile. folder: where it was found."""

    folder: Path
    content: Mapping[str, Any]

    @property
    def is_remote(self) -> bool:
        """Tell whether jobs run somewhere else than on this machine."""
        return self.content.get("executor") not in ON_THIS_MACHINE

    @property
    def is_contained(self) -> bool:
        """Tell whether jobs run in Apptainer images."""
        stated = next((self.content[key] for key in DEPLOYMENT if key in self.content), None)
        methods = stated if isinstance(stated, list) else [stated]
        return "apptainer" in methods

    def resources(self, rule: str) -> dict[str, Any]:
        """Return the resources that the profile states for a rule."""
        return _resources(_mapping(self.content.get("set-resources")).get(rule))

    def requests(self, site: Site) -> Iterator[Request]:
        """Yield what the jobs of each rule ask for; first what rules without a line ask for."""
        default = _resources(self.content.get("default-resources"))
        yield _request("other rules", default, site)
        for rule, stated in _mapping(self.content.get("set-resources")).items():
            yield _request(rule, {**default, **_resources(stated)}, site)


def find_profile(name: str) -> Profile:
    """Read a profile, where Snakemake looks for it. Raises RestemError if there is none."""
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    folders = [Path(name), Path(config, "snakemake", name).expanduser()]
    for folder in folders:
        for path in sorted([*folder.glob("config.yaml"), *folder.glob("config.v*+.yaml")])[-1:]:
            try:
                with path.open() as stream:  # as Snakemake reads it: it may be a template
                    content = yte.process_yaml(stream, require_use_yte=True)
                return Profile(folder, _mapping(content))
            except Exception as problem:  # a template may raise anything
                raise RestemError(
                    f"the profile cannot be read: {problem}", str(path), "correct it"
                ) from problem
    raise RestemError(
        "there is no such profile",
        ", ".join(map(str, folders)),
        "name one with --profile, or run this in the root of the clone",
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _resources(stated: Any) -> dict[str, Any]:
    """Read resources as a mapping or as a list of name=value."""
    if isinstance(stated, list):
        return dict(str(item).partition("=")[::2] for item in stated)
    return _mapping(stated)


def _request(rule: str, stated: Mapping[str, Any], site: Site) -> Request:
    values: dict[str, Any] = {}
    unread = []
    for name, value in {**stated, **missing_resources(site, stated)}.items():
        read = _number(name, value)
        if read is None:
            unread.append(name)
        else:
            values["mem_mb" if name == "mem" else name] = read
    ceilings = {"mem_mb": site.slurm.max_mem_mb, "runtime": site.slurm.max_runtime}
    lowered = {n: min(values[n], most) for n, most in ceilings.items() if most and n in values}
    return Request(rule, values | lowered, tuple(unread))


def _number(name: str, value: Any) -> Any:
    """Return a value in the unit of its resource; None if it is an expression."""
    if isinstance(value, int):
        return value
    text = str(value).strip("\"'")
    try:
        if name == "mem":
            return round(humanfriendly.parse_size(text) / 1e6)
        if name == "runtime" and not text.isdigit():
            return round(humanfriendly.parse_timespan(text) / 60)
        if name in ("mem_mb", "runtime", "cpus_per_task", "gpu", "disk_mb"):
            return int(text)
    except (ValueError, humanfriendly.InvalidSize, humanfriendly.InvalidTimespan):
        return None
    return text
