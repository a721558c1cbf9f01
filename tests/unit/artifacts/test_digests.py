"""Digests change with what determines an artifact, and with nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restem.artifacts.digests import (
    PACKAGE_ROOT,
    canonical_json,
    code_digest,
    code_digests,
    digest,
    file_digest,
    flatten,
    lock_digest,
)

MODULES = {
    "__init__.py": '"""A package."""\n',
    "shared.py": '"""Shared."""\n\n\ndef double(x):\n    """Double it."""\n    return 2 * x\n',
    "late.py": "VALUE = 1\n",
    "unrelated.py": "VALUE = 1\n",
    "room/__init__.py": '"""A room."""\n',
    "room/neighbour.py": "from . import quiet\n\nVALUE = 1\n",
    "room/quiet.py": "VALUE = 1\n",
    "room/deep/__init__.py": "",
    "room/deep/far.py": "from ..neighbour import VALUE\nfrom ...shared import double\n",
    "stages/__init__.py": "",
    "stages/one.py": (
        '"""One stage."""\n\nimport json\n\nfrom restem.shared import double\n\n\n'
        'def run(x):\n    """Run."""\n    from restem.late import VALUE\n\n'
        "    # why\n    return json.dumps(double(x) + VALUE)\n"
    ),
    "stages/two.py": "import restem.room.neighbour\n",
    "stages/three.py": "import restem.room.deep.far as far\n",
    "stages/four.py": "from restem import shared, room\n",
    "stages/five.py": "from ..room import neighbour as n\n",
    "stages/cycle.py": "from restem.stages import cycle\nfrom restem.stages import one\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "restem"
    for name, text in MODULES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def of(root: Path, *names: str) -> str:
    return code_digest([f"restem.stages.{name}" for name in names], root)


def edit(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text()
    assert old in text
    (root / name).write_text(text.replace(old, new))


def append(root: Path, name: str) -> None:
    with (root / name).open("a") as stream:
        stream.write("MORE = 1\n")


SAME: dict[str, Callable[[Path], None]] = {
    "comment": lambda r: edit(r, "stages/one.py", "# why", "# why not, and a longer one"),
    "no comment": lambda r: edit(r, "stages/one.py", "    # why\n", ""),
    "docstring of the module": lambda r: edit(r, "stages/one.py", "One stage.", "A stage."),
    "docstring of a function": lambda r: edit(r, "shared.py", "Double it.", "Twice."),
    "no docstring": lambda r: edit(r, "shared.py", '    """Double it."""\n', ""),
    "blank lines": lambda r: edit(r, "stages/one.py", "\n\n", "\n\n\n\n"),
    "brackets": lambda r: edit(r, "shared.py", "return 2 * x", "return (\n        2\n  * x)"),
    "quotes": lambda r: edit(r, "shared.py", '"""Shared."""', "'''Shared.'''"),
    "touch": lambda r: (r / "shared.py").touch(),
    "an unrelated module": lambda r: edit(r, "unrelated.py", "1", "2"),
    "a module of another room": lambda r: edit(r, "room/quiet.py", "1", "2"),
    "a new module": lambda r: (
        Path(r / "stages/new.py").write_text("import restem.shared\n") and None
    ),
    "a package that is not imported": lambda r: append(r, "room/deep/__init__.py"),
}


@pytest.mark.parametrize("name", SAME)
def test_the_code_digest_is_not_changed_by(root: Path, name: str) -> None:
    before = of(root, "one")
    SAME[name](root)
    assert of(root, "one") == before


DIFFERENT: dict[str, tuple[str, Callable[[Path], None]]] = {
    "its own logic": ("one", lambda r: edit(r, "stages/one.py", "+ VALUE", "- VALUE")),
    "a name": ("one", lambda r: edit(r, "stages/one.py", "def run(x)", "def run(y)")),
    "an imported module": ("one", lambda r: edit(r, "shared.py", "2 * x", "3 * x")),
    "a module imported in a function": ("one", lambda r: edit(r, "late.py", "1", "2")),
    "a package on the way": ("one", lambda r: edit(r, "__init__.py", "\n", "\nX = 1\n")),
    "its own package": ("one", lambda r: append(r, "stages/__init__.py")),
    "a dotted import": ("two", lambda r: edit(r, "room/neighbour.py", "1", "2")),
    "an import from the dot": ("two", lambda r: edit(r, "room/quiet.py", "1", "2")),
    "the room of an import": ("two", lambda r: edit(r, "room/__init__.py", "\n", "\nX = 1\n")),
    "an import from two dots": ("three", lambda r: edit(r, "room/neighbour.py", "1", "2")),
    "an import from three dots": ("three", lambda r: edit(r, "shared.py", "2 * x", "3 * x")),
    "an import from the package": ("four", lambda r: edit(r, "shared.py", "2 * x", "3 * x")),
    "a relative import under another name": (
        "five", lambda r: edit(r, "room/neighbour.py", "1", "2"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENT)
def test_the_code_digest_is_changed_by(root: Path, name: str) -> None:
    stage, change = DIFFERENT[name]
    before = of(root, stage)
    change(root)
    assert of(root, stage) != before


BLOCKS = (
    "if x:\n    pass\nelse:\n    {}",
    "for x in y:\n    pass\nelse:\n    {}",
    "while x:\n    {}",
    "with x:\n    {}",
    "try:\n    {}\nfinally:\n    pass",
    "try:\n    pass\nexcept E:\n    {}",
    "try:\n    pass\nexcept* E:\n    {}",
    "try:\n    pass\nfinally:\n    {}",
    "match x:\n    case 1:\n        {}",
    "class A:\n    async def f(self):\n        async with x:\n            {}",
)


@pytest.mark.parametrize("block", BLOCKS)
def test_an_import_in_any_block_is_found(root: Path, block: str) -> None:
    (root / "stages/one.py").write_text(block.format("from restem.late import VALUE"))
    assert "restem.late" in code_digests(["restem.stages.one"], root)


def test_an_edit_that_keeps_the_size_is_noticed(root: Path) -> None:
    before = of(root, "one")
    edit(root, "shared.py", "return 2 * x", "return 3 * x")
    changed = of(root, "one")
    edit(root, "shared.py", "return 3 * x", "return 2 * x")
    assert changed != before
    assert of(root, "one") == before


def test_a_string_that_is_no_docstring_matters(root: Path) -> None:
    before = of(root, "one")
    edit(root, "late.py", "VALUE = 1\n", 'VALUE = 1\nTEXT = "a"\n')
    changed = of(root, "one")
    edit(root, "late.py", '"a"', '"b"')
    assert len({before, changed, of(root, "one")}) == 3


DATA = """
from pathlib import Path

UNITS = Path(__file__).parent / "units.json"
FORMS = Path(__file__).parent / "tables/forms.v2.txt"
MISSING = Path(__file__).parent / "missing.json"
"""


@pytest.fixture
def data(root: Path) -> Path:
    """Let one of the modules read two files that lie beside it; a third is nobody's."""
    (root / "room/neighbour.py").write_text(DATA)
    (root / "room/tables").mkdir()
    for name in ("units.json", "tables/forms.v2.txt", "notes.txt"):
        (root / "room" / name).write_text("1")
    return root


@pytest.mark.parametrize("name", ["units.json", "tables/forms.v2.txt"])
def test_a_data_file_counts_for_those_that_read_it_and_for_no_others(data: Path, name: str) -> None:
    before = {stage: of(data, stage) for stage in ("one", "two", "three", "five")}
    assert f"restem/room/{name}" in code_digests(["restem.stages.two"], data)
    (data / "room" / name).write_text("2")
    after = {stage: of(data, stage) for stage in before}
    changed = {stage for stage in before if before[stage] != after[stage]}
    assert changed == {"two", "three", "five"}


def test_a_data_file_that_no_module_names_counts_for_nobody(data: Path) -> None:
    before = of(data, "two")
    (data / "room/notes.txt").write_text("2")
    assert of(data, "two") == before


def test_a_data_file_that_appears_or_is_deleted_counts(data: Path) -> None:
    before = of(data, "two")
    (data / "room/missing.json").write_text("1")
    more = of(data, "two")
    (data / "room/units.json").unlink()
    assert len({before, more, of(data, "two")}) == 3


def test_circular_imports_end(root: Path) -> None:
    assert "restem.shared" in code_digests(["restem.stages.cycle"], root)


def test_the_closure_holds_the_imported_modules_and_no_others(root: Path) -> None:
    assert sorted(code_digests(["restem.stages.one"], root)) == [
        "restem",
        "restem.late",
        "restem.shared",
        "restem.stages",
        "restem.stages.one",
    ]


def test_the_digest_does_not_depend_on_the_order_of_modules(root: Path) -> None:
    assert of(root, "one", "two") == of(root, "two", "one", "two")
    assert of(root, "one", "two") != of(root, "one")


def test_a_copy_of_the_code_elsewhere_has_the_same_digest(root: Path, tmp_path: Path) -> None:
    import shutil

    other = tmp_path / "elsewhere" / "restem"
    shutil.copytree(root, other)
    assert of(other, "one", "two", "three") == of(root, "one", "two", "three")


def test_the_changed_module_can_be_named(root: Path) -> None:
    before = code_digests(["restem.stages.one"], root)
    edit(root, "late.py", "1", "2")
    after = code_digests(["restem.stages.one"], root)
    assert {name for name in after if after[name] != before[name]} == {"restem.late"}


def test_the_real_stages_do_not_import_each_other() -> None:
    modules = {f"restem.stages.{path.stem}" for path in (PACKAGE_ROOT / "stages").glob("[!_]*.py")}
    stages = modules - {"restem.stages.declaration", "restem.stages.execution"}  # shared by all
    for stage in stages:
        assert stages & set(code_digests([stage])) == {stage}


# ---- values ----

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


@given(json_values)
def test_the_order_of_keys_does_not_matter(value: Any) -> None:
    assert canonical_json(reordered(value)) == canonical_json(value)
    assert digest(reordered(value)) == digest(value)


@given(st.dictionaries(st.text(max_size=3), json_values), st.text(max_size=3), json_values)
def test_another_value_has_another_digest(value: dict[str, Any], key: str, new: Any) -> None:
    changed = {**value, key: new}
    same = canonical_json(changed) == canonical_json(value)
    assert (digest(changed) == digest(value)) == same


def test_canonical_json_has_no_white_space_and_no_escaped_letters() -> None:
    assert canonical_json({"b": [1, 2.5], "a": "é\n"}) == '{"a":"é\\n","b":[1,2.5]}'


def test_the_order_of_a_list_matters() -> None:
    assert digest([1, 2]) != digest([2, 1])


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert file_digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_lock_digest_covers_the_requirements_only(tmp_path: Path) -> None:
    def of_lock(text: str) -> str:
        (tmp_path / "lock.txt").write_text(text)
        return lock_digest(tmp_path / "lock.txt")

    lock = of_lock("a==1 \\\n    --hash=sha256:1\nb==2\n")
    assert of_lock("# made by somebody\n\na==1 \\\n    --hash=sha256:1  # via b\nb==2") == lock
    assert of_lock("b==2\na==1 \\\n    --hash=sha256:1\n") == lock
    assert of_lock("a==1 \\\n    --hash=sha256:2\nb==2\n") != lock
    assert of_lock("a==1 \\\n    --hash=sha256:1\nb==3\n") != lock
    assert of_lock("a==1 \\\n    --hash=sha256:1\n") != lock


def test_a_url_with_a_fragment_is_no_comment(tmp_path: Path) -> None:
    path = tmp_path / "lock.txt"
    path.write_text("a @ https://example.org/a.whl#sha256=1\n")
    before = lock_digest(path)
    path.write_text("a @ https://example.org/a.whl#sha256=2\n")
    assert lock_digest(path) != before


def test_nested_keys_are_flattened() -> None:
    assert flatten({"a": {"b": 1, "c": {"d": [2]}}, "e": {}}) == {"a.b": 1, "a.c.d": [2], "e": {}}
