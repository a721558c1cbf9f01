"""Changes of a tree: of its state, which no plan may notice, and edits, which all plans notice."""

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Change = Callable[[Any, random.Random], None]


# ---- what may be done to a tree without any effect on a plan ----


def artifacts(tree: Any) -> list[Path]:
    found = [*tree.results.rglob("*"), *(tree.root / "models").rglob("*")]
    return sorted(path for path in found if path.is_file() and ".restem" not in path.parts)


def lose_all_records(tree: Any, chance: random.Random) -> None:
    shutil.rmtree(tree.root / ".snakemake")


def lose_some_records(tree: Any, chance: random.Random) -> None:
    for path in sorted((tree.root / ".snakemake").rglob("*")):
        if path.is_file() and chance.random() < 0.5:
            path.unlink()


def damage_some_records(tree: Any, chance: random.Random) -> None:
    for path in sorted((tree.root / ".snakemake/metadata").rglob("*")):
        if path.is_file() and chance.random() < 0.5:
            path.write_text("{")


def copy_without_times(tree: Any, chance: random.Random) -> None:
    copy = tree.root.with_name(f"{tree.root.name}-copy")
    shutil.copytree(tree.root, copy, symlinks=True, copy_function=shutil.copyfile)
    shutil.rmtree(tree.root)
    copy.rename(tree.root)


def set_random_times(tree: Any, chance: random.Random) -> None:
    for path in artifacts(tree):
        when = time.time() + chance.uniform(-1e6, 1e6)
        os.utime(path, (when, when))


def move(tree: Any, chance: random.Random) -> None:
    elsewhere = tree.root.with_name(f"{tree.root.name}-moved") / "to a deeper" / "place"
    elsewhere.parent.mkdir(parents=True)
    tree.root.rename(elsewhere)
    tree.root = elsewhere
    tree.results = elsewhere / "results" / "tiny"


def hand_over(tree: Any, chance: random.Random) -> None:
    """Give the results to another user, who runs with other rights."""
    for path in [tree.results, *tree.results.rglob("*")]:
        os.chown(path, 65534, 65534)


def lose_locks_and_kept_copies(tree: Any, chance: random.Random) -> None:
    for folder in tree.results.rglob(".restem"):
        for path in sorted(folder.iterdir()):
            if path.name.endswith(".kept"):
                shutil.rmtree(path)
            elif path.name.endswith(".lock"):
                path.unlink()


def leave_what_a_killed_run_leaves(tree: Any, chance: random.Random) -> None:
    """Leave Snakemake's locks, and its marks of jobs that had started."""
    from base64 import urlsafe_b64encode

    marks = tree.root / ".snakemake" / "incomplete"
    marks.mkdir(parents=True, exist_ok=True)
    for path in artifacts(tree):
        if chance.random() < 0.3:
            name = urlsafe_b64encode(str(path.relative_to(tree.root)).encode()).decode()
            if len(name) < 250:
                (marks / name).write_text('{"external_jobid": null}')


STATES = (
    lose_all_records,
    lose_some_records,
    damage_some_records,
    copy_without_times,
    set_random_times,
    move,
    hand_over,
    lose_locks_and_kept_copies,
    leave_what_a_killed_run_leaves,
)


# ---- what a user may change ----


def configure(tree: Any, change: Callable[[dict[str, Any]], object]) -> None:
    import yaml

    path = tree.root / "study.yaml"
    study = yaml.safe_load(path.read_text())
    change(study)
    path.write_text(yaml.safe_dump(study, sort_keys=False))


def change_a_key(tree: Any, chance: random.Random) -> None:
    changes: list[Callable[[dict[str, Any]], object]] = [
        lambda study: study["decodings"]["explore"].update(temperature=0.9),
        lambda study: study["decodings"]["explore"].update(max_tokens=7),
        lambda study: study["decodings"]["explore"].update(draws=3),
        lambda study: study["training"].update(learning_rate=0.002),
        lambda study: study["metrics"].update(ks=[1]),
        lambda study: study.update(seeds=[0, 1]),
        lambda study: study.update(description="Other words."),
        lambda study: study["tasks"]["chain"].update(reward={"extraction": "flexible"}),
        lambda study: study["tasks"]["chain"]["data"].update(train=5),
        lambda study: study["variants"]["rest-em"].update(iterations=1),
        lambda study: study["variants"]["sft-terse"].pop("reference", None),
    ]
    configure(tree, chance.choice(changes))


MODULES = (
    "stages/rewards.py", "stages/samples.py", "stages/policy.py", "tasks/chain.py",
    "rewards/math.py", "statistics/evaluation.py", "artifacts/tables.py", "cli.py",
)  # fmt: skip


def change_logic(tree: Any, chance: random.Random) -> None:
    path = tree.root / "src/restem" / chance.choice(MODULES)
    path.write_text(path.read_text() + f"\nNEW_{chance.randrange(10**6)} = 1\n")


def change_a_comment(tree: Any, chance: random.Random) -> None:
    path = tree.root / "src/restem" / chance.choice(MODULES)
    path.write_text(f"# a comment\n{path.read_text()}")


def change_a_lock_file(tree: Any, chance: random.Random) -> None:
    path = tree.root / "envs" / f"{chance.choice(('data', 'model', 'report'))}.txt"
    path.write_text(path.read_text() + "\nnew-dependency==1.0\n")


def change_a_shell_command(tree: Any, chance: random.Random) -> None:
    """Ask for another shard than the rule's: what the command computes has changed."""
    tree.edit("rules/samples.smk", "--shard {wildcards.shard}", "--shard 1-of-2")


def of_results(tree: Any) -> list[Path]:
    return [path for path in artifacts(tree) if path.is_relative_to(tree.results)]


def delete_an_artifact(tree: Any, chance: random.Random) -> None:
    chance.choice(of_results(tree)).unlink()


def edit_an_artifact(tree: Any, chance: random.Random) -> None:
    path = chance.choice(of_results(tree))
    content = path.read_bytes()
    path.unlink()  # not in place: the kept copy would change too, and one of the trees has none
    path.write_bytes(content + b"X" if chance.random() < 0.5 else content[: len(content) // 2])


def delete_a_seal(tree: Any, chance: random.Random) -> None:
    chance.choice(sorted(tree.results.rglob("*.seal.json"))).unlink()


EDITS = (
    change_a_key, change_a_key, change_a_key, change_logic, change_logic, change_a_comment,
    change_a_lock_file, change_a_shell_command, delete_an_artifact, edit_an_artifact,
    delete_a_seal,
)  # fmt: skip


def edited_plan(tree: Any, states: list[Change], edits: list[Change], seed: int) -> frozenset[Any]:
    """Bring a tree into some states, edit it, and return its plan."""
    folder = tree.root.parent
    for change in states:
        change(tree, random.Random(seed))
    chance = random.Random(seed)
    for edit in dict.fromkeys(edits):
        edit(tree, chance)
    done = tree.dry_run("--quiet", "all", "--configfile", "study.yaml")
    assert done.returncode == 0, done.stderr[-4000:]
    for path in folder.iterdir():
        shutil.rmtree(path)
    return done.jobs
