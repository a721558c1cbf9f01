import subprocess
import sys

LOOK = """
import sys
import restem.embedded.pretraining, restem.sampling.transformers.engine, restem.training.loop
print([name for name in ("sklearn", "scipy", "pandas") if name in sys.modules])
import sklearn
"""


def test_what_a_job_starts_with_is_not_what_only_mlflow_needs_and_can_come_later() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
