"""The table of docs/explanation/staleness.md, row by row, on the real rules.

What is expected is stated as the jobs that a change concerns; what lies below them follows from
the inputs and outputs that the rules declare.
"""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from restem.artifacts.files import artifact_digest, read_json
from restem.artifacts.schemas.loop import EXAMPLES, SAMPLES
from restem.artifacts.tables import read_provenance, read_rows

pytestmark = pytest.mark.workflow

STAGES = "src/restem/stages"
BASE_DRAWS = "pretrained/T/base/seed-0/iter-0/chain/train/explore/seed-0"
SFT = "chain/T/sft-terse/seed-0/iter-1"

Change = Callable[[Any], None]


def sources(tree: Any) -> list[Path]:
    found = [tree.root / "Snakefile", tree.root / "study.yaml", tree.root / "pyproject.toml"]
    for folder in ("rules", "config", "profiles", "envs", "src", "models"):
        found += [p for p in sorted((tree.root / folder).rglob("*")) if p.is_file()]
    return found


# ---- touch, checkout, comment, docstring, formatting, key order: nothing ----


def nothing(tree: Any) -> None:
    """Change nothing."""


def touch_every_source(tree: Any) -> None:
    for path in sources(tree):
        path.touch()


def touch_every_result(tree: Any) -> None:
    for path in sorted(tree.results.rglob("*"), reverse=True):
        if path.is_file():
            path.touch()


def check_the_sources_out_again(tree: Any) -> None:
    for path in sources(tree):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)


def comment_every_module(tree: Any) -> None:
    for path in sorted((tree.root / "src").rglob("*.py")):
        path.write_text(f"# a comment\n{path.read_text()}\n# another\n")


def change_a_docstring(tree: Any) -> None:
    for name in ("stages/samples.py", "artifacts/tables.py"):
        path = tree.root / "src/restem" / name
        path.write_text(path.read_text().replace('"""', '"""Changed: ', 1))


def format_otherwise(tree: Any) -> None:
    tree.edit(
        f"{STAGES}/rewards.py", "from restem.errors import RestemError",
        "from restem.errors import (\n        RestemError,\n)\n\n",
    )  # fmt: skip


def reorder_the_keys(tree: Any) -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(item) for key, item in reversed(value.items())}
        return [turned(item) for item in value] if isinstance(value, list) else value

    path = tree.root / "study.yaml"
    path.write_text(yaml.safe_dump(turned(yaml.safe_load(path.read_text())), sort_keys=False))


def comment_the_locks(tree: Any) -> None:
    for path in (tree.root / "envs").glob("*.txt"):
        path.write_text(f"# locked by somebody\n\n{path.read_text()}")


def change_another_experiment(tree: Any) -> None:
    demo = tree.root / "config" / "demo.yaml"
    demo.write_text(demo.read_text().replace("draws: 32", "draws: 64"))
    shutil.copy(demo, tree.root / "config" / "new.yaml")


def change_an_unused_method(tree: Any) -> None:
    (tree.root / "config/methods/new.yaml").write_text("selection: {human: x, model_data: false}\n")
    preset = tree.root / "config/methods/sft.yaml"
    preset.write_text(preset.read_text().replace("human: human", "human: terse"))


def add_a_module(tree: Any) -> None:
    (tree.root / "src/restem/tasks/new.py").write_text("X = 1\n")
    (tree.root / "src/restem/figures/new.py").write_text("X = 1\n")


def change_unrelated_logic(tree: Any) -> None:
    """Change modules that no stage of this study runs: another task, the human's commands."""
    for name in ("tasks/gsm8k.py", "tasks/story.py", "figures/pass_at_k.py", "cli.py"):
        path = tree.root / "src/restem" / name
        path.write_text(path.read_text() + "\nUNUSED = 1\n")


CHANGES_NOTHING = [
    nothing,
    touch_every_source,
    touch_every_result,
    check_the_sources_out_again,
    comment_every_module,
    change_a_docstring,
    format_otherwise,
    reorder_the_keys,
    comment_the_locks,
    change_another_experiment,
    change_an_unused_method,
    add_a_module,
    change_unrelated_logic,
]


@pytest.mark.parametrize("change", CHANGES_NOTHING, ids=lambda change: change.__name__)
def test_nothing_re_runs_after(tree: Any, change: Change) -> None:
    change(tree)
    assert tree.plan().jobs == set()


def test_an_unchanged_study_says_so(tree: Any) -> None:
    assert "Nothing to be done" in tree.make()


# ---- logic of one stage, of a shared module; a lock file; another stage's configuration ----


def logic(name: str) -> Change:
    def change(tree: Any) -> None:
        path = tree.root / "src/restem" / name
        path.write_text(path.read_text() + "\nNEW_LOGIC = 1\n")

    return change


def lock(family: str) -> Change:
    def change(tree: Any) -> None:
        path = tree.root / "envs" / f"{family}.txt"
        path.write_text(path.read_text() + "\nnew-dependency==1.0\n")

    return change


def configured(**changes: Any) -> Change:
    def merge(into: dict[str, Any], new: dict[str, Any]) -> None:
        for key, value in new.items():
            both = isinstance(value, dict) and isinstance(into.get(key), dict)
            merge(into[key], value) if both else into.update({key: value})

    return lambda tree: tree.configure(lambda study: merge(study, changes))


COSTS = {"count_costs", "sum_costs"}
REPORT = {"summarise_metrics", "plot_figure", "write_table", "publish_runs", "find_changes"}
REPORT |= {"write_page"} | COSTS
OF_ALL = REPORT - {"count_costs", "find_changes"}  # what a new policy concerns
DATA = {"load_problems", "measure_overlap", "verify_samples", "select_examples"}
MODEL = {"make_base", "draw_samples", "make_policy"}
ALL = REPORT | DATA | MODEL | {"count_correct"}

# name -> change, rules whose jobs it concerns (what lies below follows), rules that must rest
CONCERNS: dict[str, tuple[Change, set[str], set[str]]] = {
    "logic of stages/rewards.py": (
        logic("stages/rewards.py"), {"verify_samples"}, {"load_problems", "make_base"},
    ),
    "logic of stages/figure.py": (logic("stages/figure.py"), {"plot_figure"}, ALL - REPORT),
    "logic of stages/summary.py": (logic("stages/summary.py"), {"summarise_metrics"}, ALL - REPORT),
    "logic of stages/policy.py": (logic("stages/policy.py"), {"make_policy"}, {"make_base"}),
    "logic of one figure": (
        logic("figures/accuracy_by_iteration.py"), {"plot_figure"},
        ALL - {"plot_figure", "write_page", "publish_runs"},
    ),
    "logic of the task": (
        logic("tasks/chain.py"), {*DATA - {"measure_overlap"}, "draw_samples", "make_policy"},
        {"make_base"},
    ),
    "logic of the verifier": (
        logic("rewards/math.py"), {"verify_samples", "make_policy"},
        {"load_problems", "make_base"},
    ),
    "logic of what two stages share: grading.py": (
        logic("tasks/grading.py"), {"verify_samples", "make_policy"},
        {"load_problems", "make_base"},
    ),
    "logic of a shared module: tables.py": (logic("artifacts/tables.py"), ALL, set()),
    "lock file: data": (lock("data"), {*DATA, "count_correct"}, {"make_base"}),
    "lock file: model": (lock("model"), MODEL, {"load_problems", "measure_overlap"}),
    "lock file: report": (lock("report"), REPORT, DATA | MODEL | {"count_correct"}),
    "words about the study": (
        configured(description="Other words for the same."), {"write_page"}, ALL - {"write_page"},
    ),
    "another stage's configuration: metrics.ks": (
        configured(metrics={"ks": [1]}), {"summarise_metrics"}, ALL - REPORT,
    ),
    "another stage's configuration: training.learning_rate": (
        configured(training={"learning_rate": 0.002}), {"make_policy"},
        {"load_problems", "make_base"},
    ),
    "another stage's configuration: reward.extraction": (
        configured(tasks={"chain": {"reward": {"extraction": "flexible"}}}),
        {"verify_samples", "make_policy"}, {"load_problems", "make_base"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", CONCERNS)
def test_exactly_what_it_concerns_and_what_lies_below_re_runs(
    tree: Any, whole: Any, row: str
) -> None:
    change, concerned, resting = CONCERNS[row]
    change(tree)
    stale = tree.plan()
    assert stale.jobs == whole.below(whole.of(concerned))
    assert not stale.rules & resting


def test_rewards_logic_leaves_the_draws_of_the_base_alone(tree: Any) -> None:
    logic("stages/rewards.py")(tree)
    stale = tree.plan()
    assert not stale.of({"draw_samples"}, within="/base/")
    assert not stale.of({"select_examples", "make_policy"}, within="sft-terse")


def test_one_variants_configuration_leaves_the_others_alone(tree: Any, whole: Any) -> None:
    configured(methods={"sft-terse": {"training": {"learning_rate": 0.005}}})(tree)
    assert tree.plan().jobs == whole.below(whole.of({"make_policy"}, within="sft-terse"))


# ---- more draws, more problems, another seed, another variant: only what is new ----


def drawn(tree: Any) -> list[dict[str, Any]]:
    return read_rows(tree.results / BASE_DRAWS / "samples/1-of-1.parquet", SAMPLES)


def counts(tree: Any) -> Any:
    return read_provenance(tree.results / BASE_DRAWS / "samples/1-of-1.parquet")["counts"]


def redraw(tree: Any) -> None:
    tree.make(f"results/tiny/{BASE_DRAWS}/samples/1-of-1.parquet")


def test_more_draws_add_only_the_new_ones(tree: Any, whole: Any) -> None:
    before = drawn(tree)
    configured(decodings={"explore": {"draws": 3}})(tree)
    stale = tree.plan()
    assert stale.jobs == whole.below(whole.of({"draw_samples"}, within="/train/explore/"))
    redraw(tree)
    assert counts(tree) == {"problems": 4, "drawn": 4, "kept": 8}
    assert [row for row in drawn(tree) if row["draw"] < 2] == before


def test_fewer_draws_draw_nothing(tree: Any) -> None:
    before = drawn(tree)
    configured(decodings={"explore": {"draws": 1}})(tree)
    redraw(tree)
    assert counts(tree) == {"problems": 4, "drawn": 0, "kept": 4}
    assert drawn(tree) == [row for row in before if row["draw"] == 0]


def test_more_problems_add_only_the_new_ones(tree: Any, whole: Any) -> None:
    before = drawn(tree)
    configured(tasks={"chain": {"data": {"train": 5}}})(tree)
    stale = tree.plan()
    assert stale.jobs == whole.below(whole.of({"load_problems"}, within="problems/train"))
    redraw(tree)
    assert counts(tree) == {"problems": 5, "drawn": 2, "kept": 8}
    old = {row["problem_id"] for row in before}
    assert [row for row in drawn(tree) if row["problem_id"] in old] == before


def test_another_number_of_shards_draws_nothing(tree: Any) -> None:
    before = drawn(tree)
    configured(shards={"train": 2})(tree)
    folder = f"results/tiny/{BASE_DRAWS}/samples"
    tree.make(f"{folder}/1-of-2.parquet", f"{folder}/2-of-2.parquet")
    files = [tree.root / folder / f"{shard}-of-2.parquet" for shard in (1, 2)]
    assert [read_provenance(file)["counts"]["drawn"] for file in files] == [0, 0]
    found = [row for file in files for row in read_rows(file, SAMPLES)]
    assert sorted(found, key=repr) == sorted(before, key=repr)


def test_another_seed_makes_only_what_is_new(tree: Any, whole: Any) -> None:
    configured(seeds=[0, 1])(tree)
    stale = tree.plan()
    charged = whole.of({"count_costs"}, within="/base/")  # it draws for the new seed, too
    assert stale.jobs & whole.jobs == whole.of(OF_ALL) | charged
    assert {job for job in stale.jobs - whole.jobs if "seed-1" not in job.output} == set()
    assert stale.of({"make_policy"}, within="seed-1")


def test_another_variant_makes_only_what_is_new(tree: Any, whole: Any) -> None:
    configured(
        methods={"sft-careful": {"selection": {"model_data": False, "human": "careful"}}},
        variants={"sft-careful": {"method": "sft-careful", "task": "chain"}},
    )(tree)
    stale = tree.plan()
    assert stale.jobs & whole.jobs == whole.of(OF_ALL)
    assert {job for job in stale.jobs - whole.jobs if "sft-careful" not in job.output} == set()


def test_a_longer_variant_shares_the_shorter_ones_iterations(tree: Any, whole: Any) -> None:
    configured(variants={"long": {"method": "rest-em", "task": "chain", "iterations": 3}})(tree)
    stale = tree.plan()
    charged = whole.of({"count_costs"}, within="/rest-em/seed-0/iter-2/")  # it draws for `long`
    assert stale.jobs & whole.jobs == whole.of(OF_ALL) | charged
    fresh = {job.output for job in stale.of({"make_policy"})}
    assert fresh == {"results/tiny/chain/T/long/seed-0/iter-3/policy.json"}


# ---- an artifact edited, truncated or deleted by hand: it, and what lies below ----


def edit_samples(path: Path) -> None:
    content = pq.read_table(path, partitioning=None)
    texts = ["42" for _ in content.column("completion")]
    place = content.schema.get_field_index("completion")
    edited = content.set_column(place, content.schema.field(place), [texts])
    pq.write_table(edited.replace_schema_metadata(content.schema.metadata), path)


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    with path.open("r+b") as stream:  # in place: a hard link shares these bytes
        stream.write(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def replace_by_something_else(path: Path) -> None:
    path.unlink()
    path.write_text("{}\n")


def delete(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


SHARD = f"{BASE_DRAWS}/samples/1-of-1.parquet"
REWARDS = f"{BASE_DRAWS}/rewards/1-of-1.parquet"
WEIGHTS = "checkpoint/model.safetensors"
BASE = "pretrained/T/base/seed-0/iter-0"

# name -> what is done to which file, the rule that makes it, a part of that job's first output
DAMAGE: dict[str, tuple[Change, str, str, str]] = {
    "samples edited": (edit_samples, SHARD, "draw_samples", BASE_DRAWS),
    "samples truncated": (truncate, SHARD, "draw_samples", BASE_DRAWS),
    "samples deleted": (delete, SHARD, "draw_samples", BASE_DRAWS),
    "rewards deleted": (delete, REWARDS, "verify_samples", BASE_DRAWS),
    "rewards replaced": (replace_by_something_else, REWARDS, "verify_samples", BASE_DRAWS),
    "problems edited": (
        flip_a_byte, "chain/problems/validation.parquet", "load_problems", "validation",
    ),
    "few-shot prompt deleted": (
        delete, "chain/problems/shots.parquet", "load_problems", "shots",
    ),
    "examples deleted": (delete, f"{SFT}/examples.parquet", "select_examples", SFT),
    "weights edited": (flip_a_byte, f"{SFT}/{WEIGHTS}", "make_policy", SFT),
    "weights truncated": (truncate, f"{SFT}/{WEIGHTS}", "make_policy", SFT),
    "weights deleted": (delete, f"{SFT}/{WEIGHTS}", "make_policy", SFT),
    "checkpoint deleted": (delete, f"{SFT}/checkpoint", "make_policy", SFT),
    "manifest deleted": (delete, f"{SFT}/policy.json", "make_policy", SFT),
    "manifest edited": (truncate, f"{SFT}/policy.json", "make_policy", SFT),
    "base checkpoint deleted": (delete, f"{BASE}/checkpoint", "make_base", BASE),
    "base manifest deleted": (delete, f"{BASE}/policy.json", "make_base", BASE),
    "base weights edited": (flip_a_byte, f"{BASE}/{WEIGHTS}", "make_base", BASE),
    "metrics deleted": (delete, f"{SFT}/chain/test/greedy/seed-0/metrics.parquet", "count_correct",
                        SFT),
    "summary edited": (flip_a_byte, "summary.parquet", "summarise_metrics", "summary"),
    "lifts deleted": (delete, "lifts.parquet", "summarise_metrics", "summary"),
    "figure edited": (truncate, "figures/accuracy_by_iteration.svg", "plot_figure", "figures"),
    "table deleted": (delete, "table.csv", "write_table", "table"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_artifact_and_what_lies_below_re_run(tree: Any, whole: Any, case: str) -> None:
    damage, path, rule, place = DAMAGE[case]
    damage(tree.results / path)
    first = whole.of({rule}, within=place)
    assert len(first) == 1
    assert tree.plan().jobs == whole.below(first)


@pytest.mark.parametrize(
    ("damage", "path"),
    [(edit_samples, SHARD), (flip_a_byte, f"{SFT}/{WEIGHTS}"), (delete, REWARDS)],
    ids=["samples edited", "weights edited", "rewards deleted"],
)
def test_a_damaged_artifact_is_made_again_as_it_was(tree: Any, damage: Change, path: str) -> None:
    before = contents(tree)
    damage(tree.results / path)
    tree.make()
    assert contents(tree) == before
    assert "Nothing to be done" in tree.make()


def contents(tree: Any) -> dict[str, Any]:
    """Return what every artifact holds: the content of tables, the bytes of checkpoints."""
    kinds = ("*.parquet", "policy.json", "*.safetensors", "table.md", "*.svg")
    files = (f for kind in kinds for f in tree.results.rglob(kind) if ".restem" not in f.parts)
    return {str(f.relative_to(tree.results)): artifact_digest(f) for f in sorted(files)}


# ---- a re-run that reproduces the same bytes: what lies below is left alone ----


def test_a_re_run_with_the_same_rows_does_not_train_again(tree: Any) -> None:
    before = contents(tree)
    weights = tree.results / SFT / WEIGHTS
    trained = weights.stat().st_ino, read_json(tree.results / SFT / "policy.json")["report"]
    for stage in ("rewards", "examples"):
        logic(f"stages/{stage}.py")(tree)
    stale = tree.plan()
    assert stale.of({"make_policy"}, within="sft-terse")
    told = tree.make()
    assert re.search(r"^rewards: \d+", told, re.MULTILINE)
    assert re.search(r"^examples: 4 kept", told, re.MULTILINE)
    assert contents(tree) == before
    assert trained == (
        weights.stat().st_ino, read_json(tree.results / SFT / "policy.json")["report"],
    )  # fmt: skip
    reused = set(re.findall(r"^reused (\S+):", told, re.MULTILINE))
    expected = {job.output for job in stale.jobs if job.rule not in RECOMPUTED}
    assert reused == expected
    assert not re.search(r"^(samples|policy): ", told, re.MULTILINE)
    assert "Nothing to be done" in tree.make()


RECOMPUTED = {"verify_samples", "select_examples", "publish_runs"}  # never put back: publishing


def test_changed_rows_do_reach_what_lies_below(tree: Any) -> None:
    """The early cut-off must not cut off what really changed."""
    tree.edit(
        f"{STAGES}/rewards.py", '"reward": verdict.reward',
        '"reward": float(drawn["draw"] == 0)',
    )  # fmt: skip
    # The tiny model never ends by itself.
    keep = {"selection": {"cut_off": "keep"}}
    tree.configure(lambda study: study["variants"]["rest-em"].update(changes=keep))
    told = tree.make()
    examples = tree.results / "chain/T/rest-em/seed-0/iter-1/examples.parquet"
    kept = [row for row in read_rows(examples, EXAMPLES) if row["decision"] == "kept"]
    assert len(kept) == 4
    assert re.search(r"^policy: \d+ steps", told, re.MULTILINE)
    assert "Nothing to be done" in tree.make()
