"""What does a warm process save a small job? The same commands, warm and cold in turn.

    make bench NAME=warm

Each round samples eight problems with the embedded model S, and verifies the completions, once warm
and once cold. Printed are seconds of wall time per command; the first warm job, which imports the
packages for all later ones, is printed by itself. The tables must have the same content.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from restem.artifacts.schemas.every import KINDS
from restem.artifacts.tables import read_rows
from restem.warm import run
from restem.warm.client import VARIABLE

ROUNDS = 5
RESTEM = [sys.executable, "-c", "from restem.warm.client import main; main()"]
SOURCE = {"source": {"kind": "embedded", "pool": 20}, "test": 8, "shots": 1}
DECODING = {"draws": 1, "max_tokens": 48, "temperature": 0.0}
SAMPLES = {
    "address": ["test", "greedy", 0],
    "task": "chain",
    "decoding": DECODING,
    "engine": {"name": "transformers"},
}
WEIGHTS = Path(sys.modules["restem"].__path__[0]) / "embedded/weights/S"


def restem(stage: str, settings: object, *arguments: object) -> float:
    """Run a command; return its seconds."""
    command = [*RESTEM, stage, *map(str, arguments), "--settings", json.dumps(settings)]
    started = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - started


def main() -> None:
    """Print the seconds of each kind of job, warm and cold, and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        policy, problems = folder / "base/policy.json", folder / "problems/test.parquet"
        shots = folder / "problems/shots.parquet"
        source = {"source": {"kind": "embedded", "size": "S"}}
        files = sorted(path for path in WEIGHTS.iterdir() if path.is_file())
        restem("base", source, "--files", *files, "--output", policy, "--checkpoint",
               policy.parent / "checkpoint")  # fmt: skip
        for path, split in ((problems, "test"), (shots, "shots")):
            settings = {"task": "chain", "split": split, "data": SOURCE}
            restem("problems", settings, "--output", path)

        def sample(output: Path) -> float:
            inputs = ["--policy", policy, "--problems", problems, "--shots", shots]
            return restem("samples", SAMPLES, *inputs, "--output", output)

        def verify(output: Path) -> float:
            samples = output.with_name("samples.parquet")
            settings = {"task": "chain", "verifier": "math", "reward": {}}
            inputs = ["--samples", samples, "--problems", problems]
            return restem("rewards", settings, *inputs, "--output", output)

        seconds: dict[str, list[float]] = {}
        contents: dict[str, list[object]] = {}
        run.start()
        warm = os.environ.pop(VARIABLE)
        for number in range(ROUNDS + 1):
            for kind in ("warm", "cold"):
                os.environ[VARIABLE] = warm if kind == "warm" else "no"
                for job, table in ((sample, "samples"), (verify, "rewards")):
                    output = folder / f"{kind}-{number}" / f"{table}.parquet"
                    took = job(output)
                    first = kind == "warm" and number == 0
                    name = f"{table} {'first warm' if first else kind}"
                    seconds.setdefault(name, []).append(took)
                    contents.setdefault(table, []).append(read_rows(output, KINDS[table]))
        run.stop()
    for name, values in seconds.items():
        print(f"{name}: {statistics.median(values):.2f} s, the median of {len(values)}")
    for table, tables in contents.items():
        if any(other != tables[0] for other in tables):
            sys.exit(f"{table}: warm and cold jobs wrote other contents")
        cold, quick = (statistics.median(seconds[f"{table} {kind}"]) for kind in ("cold", "warm"))
        print(f"bench warm: {table}: cold / warm = {cold / quick:.1f}")


if __name__ == "__main__":
    main()
