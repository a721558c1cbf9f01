"""Measure what planning costs: a study of the paper's size, with nothing made and with all made.

    python -P benchmarks/planning.py [config/paper/qwen2.5.yaml [folder with data/]]

Nothing is sampled or trained. For the finished study every output is a stub of a few bytes, with
the seal that its job would have written, so planning looks at as many seals and files as it would
for real results.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
NEEDED = ("Snakefile", "rules", "config", "profiles", "envs", "containers", "src")
ROUNDS = 3

SEAL_EVERYTHING = """
import hashlib, sys
from pathlib import Path
from snakemake import cli
try:
    cli.main(["-n", "paper", "--quiet", "all", "--configfile", sys.argv[1]])
except SystemExit as end:
    assert not end.code
from restem.artifacts.digests import code_digests, file_digest
from restem.artifacts.seals import recipe_key, stat_of, write_seal
from restem.staleness.snakemake import SealPersistence
planner = SealPersistence.newest.planner
contents = {}
for level in planner.dag.toposorted():
    for job in level:
        planned = planner.planned(job)
        if planned is None:
            continue
        inputs = {n: [contents.get(str(p)) or file_digest(p) for p in paths]
                  for n, paths in planned.files.items()}
        recipe = planned.recipe(inputs)
        outputs = {}
        for name, path in planned.outputs.items():
            contents[str(path)] = hashlib.sha256(str(path).encode()).hexdigest()
            file = path / "model.safetensors" if name == "checkpoint" else path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(str(path))
            entry = {file.name if name == "checkpoint" else "": [*stat_of(file), file_digest(file)]}
            relative = path.relative_to(planned.first_output.parent)
            outputs[name] = {"path": str(relative), "content": contents[str(path)], "files": entry}
        code = code_digests(planned.stage.modules(recipe["settings"]))
        seal = {**recipe, "code": code, "key": recipe_key(recipe), "outputs": outputs}
        write_seal(planned.first_output, {**seal, "seconds": 1.0, "notes": {}, "read": {}})
"""


def environment(tree: Path) -> dict[str, str]:
    """Return the variables for a run on a tree's own code."""
    path = f"{BIN}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(tree / "src")}


def plan(tree: Path, study: str) -> tuple[float, str]:
    """Plan the study; return the CPU seconds, and the last line that says something."""
    before = os.times()
    command = [str(BIN / "snakemake"), "-n", "paper", "--quiet", "rules", "--configfile", study]
    done = subprocess.run(command, cwd=tree, env=environment(tree), capture_output=True, text=True)
    after = os.times()
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    spent = after.children_user + after.children_system
    spent -= before.children_user + before.children_system
    total = [line for line in (done.stdout + done.stderr).splitlines() if "total" in line]
    return spent, total[-1].split()[-1] if total else "0"


def main() -> None:
    """Print the CPU time of every plan, and one line with the medians and their ratio."""
    study = sys.argv[1] if len(sys.argv) > 1 else "config/paper/qwen2.5.yaml"
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in NEEDED:
            ignored = shutil.ignore_patterns("*.sif", ".build-*")
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, tree / name, ignore=ignored)
            else:
                shutil.copy2(ROOT / name, tree / name)
        if len(sys.argv) > 2:
            (tree / "data").symlink_to(Path(sys.argv[2]).resolve())
        plan(tree, study)  # compiles the modules
        empty = [plan(tree, study) for _ in range(ROUNDS)]
        started = time.monotonic()
        command = [sys.executable, "-c", SEAL_EVERYTHING, study]
        subprocess.run(command, cwd=tree, env=environment(tree), check=True, capture_output=True)
        print(f"sealed in {time.monotonic() - started:.0f} s", flush=True)
        finished = [plan(tree, study) for _ in range(ROUNDS)]
    medians = [statistics.median(seconds for seconds, _ in side) for side in (empty, finished)]
    for name, side in (("nothing made", empty), ("finished", finished)):
        print(
            f"{name}: {side[0][1]} jobs to run, {', '.join(f'{s:.1f} s' for s, _ in side)} of CPU"
        )
    ratio = medians[1] / medians[0]
    print(f"bench planning: ratio={ratio:.2f} ours={medians[1]:.1f}s peer={medians[0]:.1f}s")


if __name__ == "__main__":
    main()
