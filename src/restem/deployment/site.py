"""What differs from site to site: accounts, partitions, limits, modules and shared folders.

One YAML file outside the clone holds it, so that no tracked file has to be edited:
`~/.config/restem/site.yaml` (or below XDG_CONFIG_HOME), or the file that RESTEM_SITE names. Nothing
in it is part of a recipe, except that `engine` decides what `auto` stands for in a study.
"""

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, field_validator

from restem.artifacts.sharing import STORE
from restem.config.base import Strict
from restem.config.errors import validate
from restem.config.load import read_yaml
from restem.errors import RestemError

SITE: Final = "RESTEM_SITE"


class ByKind(Strict):
    """One value for jobs on CPUs and one for jobs with GPUs."""

    cpu: str | None = Field(default=None, description="For jobs without a GPU.")
    gpu: str | None = Field(default=None, description="For jobs with a GPU.")


class Slurm(Strict):
    """What the jobs of every study ask of SLURM; what a profile states for a rule comes first."""

    account: str | None = Field(default=None, description="Account that jobs are charged to.")
    partition: ByKind = Field(default=ByKind(), description="Partitions.")
    qos: ByKind = Field(default=ByKind(), description="Qualities of service.")
    constraint: ByKind = Field(default=ByKind(), description="Features that nodes must have.")
    gpu_type: str | None = Field(
        default=None, description="Type of GPU, as in --gpus=<type>:1; any by default."
    )
    max_mem_mb: int | None = Field(
        default=None, ge=1, description="The most memory that a job asks for [MB]."
    )
    max_runtime: int | None = Field(
        default=None, ge=1, description="The most time that a job asks for [minutes]."
    )

    def resources(self, gpu: bool) -> dict[str, str]:
        """Return the resources of a job by the names that the SLURM plugin uses."""
        kind = "gpu" if gpu else "cpu"
        values = {
            "slurm_account": self.account,
            "slurm_partition": getattr(self.partition, kind),
            "qos": getattr(self.qos, kind),
            "constraint": getattr(self.constraint, kind),
            "gpu_model": self.gpu_type if gpu else None,
        }
        return {name: value for name, value in values.items() if value is not None}


class Site(Strict):
    """The settings of a site."""

    slurm: Slurm = Field(default=Slurm(), description="What jobs ask of SLURM.")
    engine: Literal["transformers", "vllm"] | None = Field(
        default=None,
        description="Engine of models that a study leaves to the machine; by default, the profile "
        "or this machine's GPUs decide.",
    )
    modules: tuple[str, ...] = Field(
        default=(), description="Environment modules that a SLURM job loads first."
    )
    hf_home: Path | None = Field(
        default=None, description="Folder of the Hugging Face cache (HF_HOME)."
    )
    scratch: Path | None = Field(
        default=None, description="Folder for temporary files (TMPDIR); it has to exist."
    )
    store: Path | None = Field(
        default=None, description="Folder of the shared store (RESTEM_STORE); it has to exist."
    )

    @field_validator("hf_home", "scratch", "store", mode="after")
    @classmethod
    def _expanded(cls, path: Path | None) -> Path | None:
        """Expand ~ and variables such as $SCRATCH, which have to be set."""
        if path is None:
            return None
        expanded = os.path.expandvars(path.expanduser())
        if unset := re.search(r"\$\{?(\w+)", expanded):
            raise ValueError(
                f"the variable {unset[1]} is not set here; set it, or write the folder"
            )
        return Path(expanded)

    def variables(self) -> dict[str, str]:
        """Return the environment variables that the settings stand for."""
        folders = {"HF_HOME": self.hf_home, "TMPDIR": self.scratch, STORE: self.store}
        return {name: str(path) for name, path in folders.items() if path is not None}

    def prologue(self) -> str:
        """Return what a job runs before its command; `module` is a function of login shells."""
        if not self.modules:
            return ""
        names = " ".join(map(shlex.quote, self.modules))
        return f". /etc/profile >/dev/null 2>&1; module load {names} || exit 1; "


def site_path() -> Path:
    """Return where the site's settings are looked for."""
    stated = os.environ.get(SITE)
    configuration = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(stated or f"{configuration}/restem/site.yaml").expanduser()


def load_site() -> Site:
    """Return the site's settings; without a file, those that leave everything out.

    Raises RestemError with all problems at once, or if RESTEM_SITE names no file.
    """
    path = site_path()
    if not path.is_file():
        if SITE in os.environ:
            fix = "correct the variable, or write the file with restem site init"
            raise RestemError("the file of site settings is missing", f"{SITE}={path}", fix)
        return Site()
    stated = {key: value for key, value in read_yaml(path).items() if value is not None}
    site = validate(Site, stated, str(path))
    for name, folder in (("scratch", site.scratch), ("store", site.store)):
        if folder is not None and not folder.is_dir():
            raise RestemError(
                f"the folder {folder} is missing", f"{path}: {name}", "create it, or correct it"
            )
    return site


def enter(site: Site, environment: dict[str, str]) -> None:
    """Set the variables of a site that the user has not set."""
    for name, value in site.variables().items():
        environment.setdefault(name, value)


def missing_resources(site: Site, resources: Mapping[str, Any]) -> dict[str, str]:
    """Return what the site adds to a job's resources: those that its profile leaves out."""
    gpu = bool(resources.get("gpu")) or "gpu" in str(resources.get("gres") or "")
    stated = site.slurm.resources(gpu)
    return {name: value for name, value in stated.items() if not resources.get(name)}


TEMPLATE: Final = """\
# The settings of this site for restem. Take the # away and write your names.
# Only `engine` can make results stale.

slurm:
  # account: my_project
  # partition: {cpu: standard, gpu: accelerated}
  # qos: {gpu: long}
  # constraint: {gpu: a100}
  # gpu_type: a100         # as in --gpus=a100:1
  # max_mem_mb: 500000     # the most memory of a job
  # max_runtime: 2880      # the most time of a job [minutes]

# engine: vllm             # for models without an engine in their study, whatever the profile
# modules: [apptainer]     # loaded at the beginning of every SLURM job
# hf_home: $SCRATCH/huggingface
# scratch: $SCRATCH/tmp
# store: /shared/project/restem-store   # artifacts that several people share
"""


def write_template(path: Path) -> None:
    """Write a commented file of site settings. Raises RestemError if there is one."""
    if path.exists():
        raise RestemError("there are site settings already", str(path), "edit them")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TEMPLATE)
