"""What YAML would drop or reinterpret in silence is refused, with file and line."""

import math
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from restem.config.data import TaskData
from restem.config.decoding import Decoding
from restem.config.load import load_study, read_yaml
from restem.config.study import Study
from restem.config.training import Training
from restem.errors import RestemError

CONFIG = Path(__file__).parents[3] / "config"


def refused(tmp_path: Path, text: str | bytes) -> str:
    """Return the problems of a file that is refused."""
    path = tmp_path / "study.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RestemError) as caught:
        read_yaml(path)
    assert caught.value.where == str(path)
    return caught.value.what


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("study: a\nseeds: [0]\nstudy: b\n", "line 3: the key 'study' is also in line 1"),
        ("study: {a: {b: 1, b: 1}}\n", "line 1: the key 'b' is also in line 1"),
        ("x: [{a: 1,\n  a: 2}]\n", "line 2: the key 'a' is also in line 1"),
        ("a: &x {b: 1}\nc: {<<: *x, d: 1, d: 2}\n", "line 2: the key 'd' is also in line 2"),
        ("no: 1\n", "YAML reads the key 'no' as a bool"),
        ("train: 012\n", "YAML reads 012 as 10"),
        ("train: [1, 0x1f]\n", "YAML reads 0x1f as 31"),
        ("train: 0b11\n", "YAML reads 0b11 as 3"),
        ("train: 1:30\n", "YAML reads 1:30 as 90"),
        ("x: 1:30.5\n", "YAML reads 1:30.5 as 90.5"),
        ("x: .inf\n", ".inf is not a finite number"),
        ("x: -.INF\n", "-.INF is not a finite number"),
        ("x: .nan\n", ".nan is not a finite number"),
        ("x: 1.0e+999\n", "1.0e+999 is not a finite number"),
        ("study: 2024-01-31\n", "YAML reads 2024-01-31 as a date"),
        ("study: é\n".encode("latin-1"), "the file is not UTF-8: byte 0xe9 in line 1"),
    ],
)
def test_what_yaml_reads_otherwise_is_refused(
    tmp_path: Path, text: str | bytes, expected: str
) -> None:
    assert expected in refused(tmp_path, text)


def test_all_ambiguities_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    what = refused(tmp_path, "a: 012\nb: {c: .inf, c: 1}\na: no\n")
    assert what.startswith("the YAML file has 4 problems:")


@pytest.mark.parametrize(
    "text",
    [
        "a: '012'\nb: \"2024-01-31\"\n",
        "a: 0\nb: -1\nc: +1_000\nd: 0.5\ne: 1.0e-5\nf: 007x\n",
        "base: &x {a: 1, b: 2}\nother: {<<: *x, a: 3}\n",
        "a: &x [1]\nb: *x\nc: yes\n",
        "\ufeffstudy: a\n",
    ],
)
def test_what_is_plain_is_read_as_yaml_does(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plain.yaml"
    path.write_text(text)
    assert read_yaml(path) == yaml.safe_load(text.removeprefix("\ufeff"))


def test_numbers_are_read_as_they_look_or_refused(tmp_path: Path) -> None:
    """Fuzz: a number that is accepted equals what Python makes of its decimal digits."""
    chance, path = random.Random(0), tmp_path / "number.yaml"
    for _ in range(500):
        text = "".join(chance.choices("0123456789.:_xeEb+-", k=chance.randint(1, 6)))
        path.write_text(f"a: {text}\n")
        try:
            value = read_yaml(path)["a"]
        except RestemError:
            continue
        if isinstance(value, int | float):
            assert math.isfinite(value)
            assert value == float(text.replace("_", ""))


def test_the_files_of_snakemakes_config_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text((CONFIG / "demo.yaml").read_text() + "study: other\n")
    merged: dict[str, Any] = yaml.safe_load(path.read_text())
    assert merged["study"] == "other"
    with pytest.raises(RestemError, match="the key 'study' is also in line"):
        load_study(merged, CONFIG, [path])


@pytest.mark.parametrize("path", sorted(CONFIG.rglob("*.yaml")), ids=lambda path: path.name)
def test_the_files_of_the_repository_are_plain(path: Path) -> None:
    assert read_yaml(path) == yaml.safe_load(path.read_text())


# ---- values that are parsed already, for instance by `--config` ----


@pytest.mark.parametrize(
    ("model", "stated", "place"),
    [
        (Decoding, {"draws": True, "temperature": 1, "max_tokens": 8}, "draws"),
        (Decoding, {"draws": 1, "temperature": False, "max_tokens": 8}, "temperature"),
        (Decoding, {"draws": 1, "temperature": math.inf, "max_tokens": 8}, "temperature"),
        (Training, {"learning_rate": math.inf}, "learning_rate"),
        (Training, {"learning_rate": "inf"}, "learning_rate"),
        (Training, {"weight_decay": math.nan}, "weight_decay"),
        (Training, {"steps": True}, "steps"),
        (Training, {"lora": {"rank": True}}, "lora.rank"),
        (TaskData, {"source": {"kind": "embedded"}, "train": True}, "train"),
        (TaskData, {"source": {"kind": "embedded"}, "levels": [1, False]}, "levels.1"),
    ],
    ids=str,
)
def test_a_boolean_or_an_infinite_number_is_no_number(
    model: Any, stated: dict[str, Any], place: str
) -> None:
    with pytest.raises(ValueError, match=r"boolean|finite") as caught:
        model.model_validate(stated)
    [error] = caught.value.errors()  # type: ignore[attr-defined]
    assert ".".join(map(str, error["loc"])) == place


@pytest.mark.parametrize(
    ("key", "value"),
    [("seeds", [False]), ("shards", {"train": True}), ("metrics", {"ks": [True]})],
)
def test_a_boolean_in_a_list_of_numbers_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match="boolean"):
        Study.model_validate({**yaml.safe_load((CONFIG / "demo.yaml").read_text()), key: value})


@pytest.mark.parametrize("rows", [{"a.jsonl": True}, {"a.jsonl": 1, "b.jsonl": False}])
def test_a_boolean_below_several_keys_is_refused(rows: dict[str, Any]) -> None:
    source = {"kind": "local", "directory": "data", "files": {"train": rows}}
    with pytest.raises(ValueError, match="boolean"):
        TaskData.model_validate({"source": source})


@pytest.mark.parametrize(
    "text", ["study: a\ntasks:\n\tb: 1\n", "study: a\ntasks:\n  b: 1\n\t  c: 2\n"]
)
def test_a_tab_is_named_with_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    line = text[: text.index("\t")].count("\n") + 1
    with pytest.raises(RestemError, match=f"line {line} is indented with a tab"):
        read_yaml(path)


def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(RestemError, match="there is no such file"):
        read_yaml(tmp_path / "nope.yaml")
