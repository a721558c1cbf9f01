"""Site settings lie outside the clone, are checked as a study is, and fill in what is left out."""

from pathlib import Path

import pytest

from restem.artifacts.sharing import STORE
from restem.deployment.site import (
    SITE,
    Site,
    enter,
    load_site,
    missing_resources,
    site_path,
    write_template,
)
from restem.errors import RestemError

SETTINGS = """
slurm:
  account: proj
  partition: {cpu: standard, gpu: accelerated}
  qos: {gpu: long}
  constraint: {gpu: a100}
  gpu_type: a100
  max_mem_mb: 500000
modules: [apptainer, cuda/13]
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "site.yaml"
    monkeypatch.setenv(SITE, str(file))
    return file


def test_without_a_file_nothing_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SITE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert site_path() == tmp_path / "restem/site.yaml"
    assert load_site() == Site()
    assert load_site().prologue() == ""
    assert missing_resources(Site(), {"gpu": 1}) == {}


def test_a_named_file_that_is_missing_is_an_error(path: Path) -> None:
    with pytest.raises(RestemError, match="the file of site settings is missing"):
        load_site()


def test_gpu_jobs_and_others_get_what_is_theirs(path: Path) -> None:
    path.write_text(SETTINGS)
    site = load_site()
    assert missing_resources(site, {"mem_mb": 1}) == {
        "slurm_account": "proj",
        "slurm_partition": "standard",
    }
    gpu = {
        "slurm_account": "proj", "slurm_partition": "accelerated", "qos": "long",
        "constraint": "a100", "gpu_model": "a100",
    }  # fmt: skip
    assert missing_resources(site, {"gpu": 1}) == gpu
    assert missing_resources(site, {"gres": "gpu:2"}) == gpu


def test_what_a_profile_states_comes_first(path: Path) -> None:
    path.write_text(SETTINGS)
    stated = {"gpu": 1, "slurm_partition": "mine", "slurm_account": "other"}
    assert missing_resources(load_site(), stated).keys() == {"qos", "constraint", "gpu_model"}


def test_modules_are_loaded_before_the_command(path: Path) -> None:
    path.write_text(SETTINGS)
    assert load_site().prologue().endswith("module load apptainer cuda/13 || exit 1; ")


def test_folders_become_variables_that_the_user_may_set_otherwise(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARED", str(tmp_path))
    (tmp_path / "store").mkdir()
    path.write_text("hf_home: $SHARED/hf\nstore: $SHARED/store\n")
    environment = {"HF_HOME": "mine"}
    enter(load_site(), environment)
    assert environment == {"HF_HOME": "mine", STORE: str(tmp_path / "store")}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("slurm: {acount: x}", "did you mean 'account'"),
        ("slurm: {max_mem_mb: much}", "max_mem_mb"),
        ("partition: x", "partition"),
        ("store: /no/such/folder", "the folder /no/such/folder is missing"),
        ("slurm: [", "line"),
    ],
)
def test_a_wrong_key_or_value_is_named(path: Path, text: str, reason: str) -> None:
    path.write_text(text)
    with pytest.raises(RestemError) as error:
        load_site()
    assert reason in str(error.value)
    assert str(path) in error.value.where


@pytest.mark.parametrize("folder", ["$NOT_SET/hf", "/data/${NOT_SET}"])
def test_a_folder_of_a_variable_that_is_not_set_is_refused(path: Path, folder: str) -> None:
    path.write_text(f"hf_home: {folder}\n")
    with pytest.raises(RestemError, match="hf_home: the variable NOT_SET is not set here"):
        load_site()


def test_the_template_is_valid_as_it_is_and_filled_in(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCH", str(tmp_path))
    write_template(path)
    assert load_site() == Site()
    text = path.read_text().replace("/shared/project/restem-store", str(tmp_path))
    lines = [line.replace("# ", "", 1) if ": " in line else line for line in text.splitlines()]
    (tmp_path / "tmp").mkdir()
    path.write_text("\n".join(lines))
    site = load_site()
    assert site.slurm.gpu_type == "a100" and site.store == tmp_path and site.modules
    with pytest.raises(RestemError, match="there are site settings already"):
        write_template(path)
