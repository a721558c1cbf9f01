import gzip
import json

import pytest

from restem.config.data import HubSource, LocalSource, TaskData
from restem.errors import RestemError
from restem.tasks.registry import load_task
from restem.tasks.splits import input_files, load_split
from tests.unit.tasks.conftest import math_row, write_rows

MATH = load_task("math")
CUT = ("train", "validation", "test")


def data(local, held_out=10, **settings):
    source = LocalSource(kind="local", directory=local, held_out=held_out)
    return TaskData(source=source, **settings)


def ids(local, split, **settings):
    return [problem.id for problem in load_split(MATH, data(local, **settings), split).problems]


def test_splits_are_disjoint_and_cover_the_data(local):
    train, validation, test = (set(ids(local, split)) for split in CUT)
    assert (len(train), len(validation), len(test)) == (28, 10, 10)
    assert not train & validation
    assert train | validation == {f"train/algebra/{n}" for n in range(40) if n not in (3, 4)}


@pytest.mark.parametrize("split", CUT)
@pytest.mark.parametrize(
    "settings", [{}, {"levels": [1, 2]}, {"subjects": ["Algebra"]}, {"train": 3, "test": 1}]
)
def test_counts_close(local, split, settings):
    loaded = load_split(MATH, data(local, **settings), split)
    assert len(loaded.problems) + sum(loaded.dropped.values()) == loaded.files[0].rows


def test_shots_and_unanswerable_problems_are_dropped_and_counted(local):
    loaded = load_split(MATH, data(local), "train")
    assert loaded.dropped == {
        "in the few-shot prompt": 1, "no gold answer": 1, "held out for validation": 10
    }  # fmt: skip


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_split_without_problems_is_refused_with_the_reasons(local, split):
    row = {"id": "a.json", "problem": "What?", "solution": "None.", "level": "Level 1"}
    rows = [row | {"id": f"{n}.json", "problem": f"What is {n}?"} for n in range(3)]
    rows = [row | {"subject": "Algebra"} for row in rows]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (local / "math/train.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    with pytest.raises(RestemError, match=r"there are no problems \(left out: 3 no gold"):
        load_split(MATH, data(local, held_out=0), split)


@pytest.mark.parametrize("split", CUT)
def test_a_file_without_rows_is_named(local, split):
    name = f"math/{'test' if split == 'test' else 'train'}.jsonl.gz"
    (local / name).write_bytes(gzip.compress(b""))
    with pytest.raises(RestemError, match="no problems of this split") as refused:
        load_split(MATH, data(local), split)
    assert f"{name} with 0 rows" in str(refused.value)
    if split != "validation":
        assert load_split(MATH, data(local, held_out=0, **{split: 0}), split).problems == []


def test_more_problems_include_the_fewer(local):
    everything = ids(local, "train")
    assert ids(local, "train", train=7) == everything[:7]
    assert ids(local, "train", train=20) == everything[:20]


def test_another_seed_takes_other_problems_of_the_same_split(local):
    assert ids(local, "train", seed=1) != ids(local, "train")
    assert set(ids(local, "train", seed=1)) == set(ids(local, "train"))


def test_the_hold_out_does_not_depend_on_levels_counts_or_seed(local):
    held = set(ids(local, "validation"))
    easy = ids(local, "validation", levels=[1, 2], seed=5)
    assert easy and set(easy) < held
    assert set(ids(local, "validation", held_out=5)) < held


def test_a_level_filter_leaves_out_problems_without_a_level(local):
    loaded = load_split(MATH, data(local, levels=[1, 2, 3, 4, 5], held_out=0), "train")
    assert loaded.dropped["other level"] == 1


def test_too_many_problems_says_how_many_there_are(local):
    with pytest.raises(RestemError, match="there are 28 problems, not 29"):
        ids(local, "train", train=29)
    with pytest.raises(RestemError, match="there are 2 problems, not 3"):
        ids(local, "shots", shots=3)
    with pytest.raises(RestemError, match="50 problems are to be held out of 38"):
        ids(local, "train", held_out=50)


def test_the_first_shots_are_taken_in_the_order_of_the_prompt(local):
    shots = load_split(MATH, data(local, shots=1), "shots").problems
    assert [shot.question for shot in shots] == ["What is $2+2$?"]
    assert ids(local, "shots", shots=0) == []


def test_overlap_is_excluded_from_train_and_validation_on_demand(local):
    twin = "train/algebra/6"

    def trained(**settings):
        return {*ids(local, "train", **settings), *ids(local, "validation", **settings)}

    assert twin in trained()
    assert twin in trained(exclude_overlap="exact")
    assert trained() - trained(exclude_overlap="normalised") == {twin}
    assert twin not in trained(exclude_overlap="ngram")


def test_names_that_nothing_has_are_errors(local):
    with pytest.raises(RestemError, match="the task has no subjects named Algebar"):
        ids(local, "train", subjects=["Algebar"])
    unknown = {"math/tran.jsonl.gz": {"sha256": "0" * 64}}
    with pytest.raises(RestemError, match="the task has no files named math/tran"):
        ids(local, "train", expect=unknown)


def test_equal_ids_are_an_error(local):
    file, other = local / "math/test.jsonl.gz", math_row("test", 0) | {"problem": "Another?"}
    write_rows(local / "more.jsonl.gz", [other])
    file.write_bytes(file.read_bytes() + (local / "more.jsonl.gz").read_bytes())
    with pytest.raises(RestemError, match="1 ids are not unique"):
        ids(local, "test")


def test_files_that_repeat_each_other_are_an_error(local):
    (local / "math/test.jsonl.gz").write_bytes((local / "math/test.jsonl.gz").read_bytes() * 2)
    with pytest.raises(RestemError, match="every problem is there more than once"):
        ids(local, "test")


def test_a_split_without_files_is_an_error(local):
    source = LocalSource(kind="local", directory=local, files={"test": {"math/test.jsonl.gz": 10}})
    settings = TaskData(source=source)
    assert len(load_split(MATH, settings, "test").problems) == 10
    with pytest.raises(RestemError, match="no files for the train split") as error:
        load_split(MATH, settings, "train")
    assert error.value.where == "source.files.train"


def test_a_used_prompt_that_the_source_lacks_is_an_error_when_planning(local):
    files = {"test": {"test.parquet": None}}
    source = HubSource(kind="hub", id="a/b", revision="0" * 40, files=files)
    with pytest.raises(RestemError, match="no few-shot prompt for math"):
        input_files(MATH, TaskData(source=source), "test")
    assert input_files(MATH, TaskData(source=source, shots=0), "test") == []
    assert input_files(load_task("apps"), TaskData(source=source), "test") == []
    with pytest.raises(RestemError, match="no few-shot prompt for apps"):
        load_split(load_task("apps"), TaskData(source=source), "shots")
    with_prompts = source.model_copy(update={"prompts": local / "prompts"})
    expected = [local / "prompts/minerva_math_4shot.json"]
    assert input_files(MATH, TaskData(source=with_prompts), "test") == expected


@pytest.mark.parametrize("split", [*CUT, "shots"])
@pytest.mark.parametrize("overlap", [None, "exact"])
def test_input_files_are_the_files_that_are_read(local, split, overlap):
    settings = data(local, exclude_overlap=overlap)
    read = [local / record.file for record in load_split(MATH, settings, split).files]
    assert sorted(input_files(MATH, settings, split)) == sorted(read)


def test_real_splits_have_the_known_counts(real_data):
    settings = data(real_data, held_out=500, exclude_overlap="normalised")
    sizes = {split: load_split(MATH, settings, split) for split in CUT}
    assert len(sizes["test"].problems) == 5000
    kept = len(sizes["train"].problems) + len(sizes["validation"].problems)
    assert kept == 7500 - 4 - 2 - 2  # the prompt, no gold answer, near-duplicates
