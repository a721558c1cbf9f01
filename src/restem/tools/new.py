"""Write a commented study for a model, some tasks and some methods, with sizes for the machine."""

import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import yaml

from restem.artifacts.files import write_text
from restem.config.data import EmbeddedSource, LocalSource
from restem.config.load import load_study, presets, read_yaml
from restem.config.method import Method
from restem.config.models import Model
from restem.errors import RestemError, nearest
from restem.study.graph import StudyGraph
from restem.study.loading import context_tokens
from restem.tasks.registry import load_task
from restem.tasks.sources import Reader
from restem.tasks.task import Task
from restem.tools.new_model import BaseModel, base_model

GYM: Final = "reasoning_gym"
GYM_PROBLEMS: Final = 300  # of a split whose number the sizes leave open; there is no last one
TEST_ONLY: Final = ("bbh_cot", "bbh_direct", "facts", "humaneval", "hungarian")
PAPER: Final = ("rest-em", "sft")

_HELD_OUT: Final[int] = LocalSource.model_fields["held_out"].default
_TRAINING_BYTES: Final = 16  # for each parameter: weights, gradients, two moments in float32
_GPU_SHARE: Final = 0.7  # of its memory for these; activations take the rest


@dataclass(frozen=True)
class Machine:
    """What a study is to run on. gpu_gib: memory of one GPU; 0 where there is none."""

    gpu_gib: float = 0.0

    @classmethod
    def here(cls) -> "Machine":
        """Return this machine, as nvidia-smi describes it."""
        command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
        if shutil.which(command[0]) is None:
            return cls()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        sizes = [float(line) / 1024 for line in done.stdout.split() if line.isdigit()]
        return cls(min(sizes, default=0.0))


@dataclass(frozen=True)
class Sizes:
    """How large a study is. None for all problems of a split."""

    train: int | None
    validation: int
    test: int | None
    draws: int
    max_tokens: int
    held_out: int = _HELD_OUT

    def within(self, problems: Mapping[str, int]) -> "Sizes":
        """Return sizes that splits with so many problems have; those of `train` are divided."""
        test = problems.get("test")
        fits = replace(self, test=_least(self.test, test))
        total = problems.get("train")
        if total is None or total >= (self.train or 0) + _HELD_OUT:
            return fits
        held_out = total // 4
        validation, train = min(self.validation, held_out), _least(self.train, total - held_out)
        return replace(fits, train=train, validation=validation, held_out=held_out)


def _least(wanted: int | None, there: int | None) -> int | None:
    return wanted if wanted is None or there is None else min(wanted, there)


def new(
    name: str,
    model: str,
    tasks: Sequence[str],
    methods: Sequence[str],
    data: Path | None = None,
    config: Path = Path("config"),
    machine: Machine | None = None,
) -> str:
    """Return the text of a study that loads without errors.

    model: a hub id (owner/name@commit), a folder, a package that ships one, or a size of the
    embedded models.
    data: folder with the files of benchmarks; None for their public sources. Raises RestemError
    for what it cannot write.
    """
    base = base_model(model)
    _check_methods(methods, presets(config / "methods"))
    on_gpu = (machine or Machine.here()).gpu_gib
    text = "\n".join(_lines(name, base, list(tasks), list(methods), data, config, on_gpu)) + "\n"
    StudyGraph(load_study(yaml.safe_load(text), config))
    return text


def write(path: Path, text: str) -> None:
    """Write a study to a file that does not exist yet."""
    if path.exists():
        raise RestemError("the file exists", str(path), "choose another name, or --output")
    write_text(path, text)
    read_yaml(path)


def _check_methods(names: Sequence[str], known: Collection[str]) -> None:
    unknown = [f"{name!r}{nearest(name, known)}" for name in names if name not in known]
    if unknown:
        raise RestemError(
            f"there is no method {'; '.join(unknown)}", "--methods", "name one of config/methods"
        )


# ---- the text ----


def _sizes(base: BaseModel, on_gpu: float) -> Sizes:
    """Choose sizes; completions take at most half of the context."""
    room = (context_tokens(Model.model_validate({"source": base.source})) or 4096) // 2
    if base.is_tiny:
        return Sizes(200, 100, 250, draws=16, max_tokens=min(96, room))
    if on_gpu:
        return Sizes(None, 200, None, draws=32, max_tokens=min(512, room))
    return Sizes(64, 16, 60, draws=4, max_tokens=min(128, room))


def _lines(
    name: str,
    base: BaseModel,
    tasks: list[str],
    methods: list[str],
    data: Path | None,
    config: Path,
    on_gpu: float,
) -> Iterator[str]:
    sizes, trained = _sizes(base, on_gpu), [task for task in tasks if task not in TEST_ONLY]
    if methods and not trained:
        raise RestemError(
            f"{', '.join(tasks)}: there is only a test split, and methods need one to train on",
            "--tasks",
            "add a task with a training split, or leave --methods out",
        )
    where = f"a GPU with {on_gpu:.0f} GiB" if on_gpu else "CPUs"
    yield f"# Written by `restem new`, with sizes for {where}. All keys, with their defaults:"
    yield "# docs/reference/configuration.md. What would stop a run, what it would do and cost:"
    yield "#   restem doctor <this file>"
    yield "#   restem plan --configfile <this file>"
    yield f"#   restem forecast --configfile <this file> --parameters {base.name}=<number>"
    yield f"study: {_quoted(name)}"
    yield f"description: {_described(base, tasks, methods)}"
    yield "seeds: [0]  # more of them also show how much results differ between trainings"
    yield ""
    yield "tasks:"
    for task in tasks:
        yield from _task(task, sizes, data)
    yield from _model(base, on_gpu)
    yield from _decodings(sizes)
    if methods:
        yield from _variants(base, trained, methods, config)
        yield from _training(base, sizes, on_gpu)
    yield from _evaluations(tasks, trained if methods else [])


def _quoted(name: str) -> str:
    """Return a name as YAML, in quotes where it would be read as something else."""
    return yaml.safe_dump(name, default_flow_style=True).splitlines()[0]


def _described(base: BaseModel, tasks: list[str], methods: list[str]) -> str:
    what = f"{', '.join(methods)} on {', '.join(tasks)}" if methods else f"On {', '.join(tasks)}"
    return f"{what}, from {base.name}."


def _task(name: str, sizes: Sizes, data: Path | None) -> Iterator[str]:
    task, is_trained = load_task(name), name not in TEST_ONLY
    sizes = sizes.within(_problems_in(name, data)) if data else sizes
    train: int | None = sizes.train if is_trained else 0
    validation = sizes.validation if is_trained else 0
    yield f"  {name}:"
    generated, is_gym = _is_generated(task), name == GYM
    human = _solutions(task) if generated and not is_gym and is_trained else None
    if human:
        yield f"    human: {human}  # which reference solutions methods such as sft use"
    yield "    data:"
    shots: int | None
    if is_gym:
        yield "      # or other datasets of the library: docs/how-to/generate-problems.md"
        yield "      source: {kind: reasoning_gym, datasets: {chain_sum: {max_terms: 2}}}"
        train, shots = train or GYM_PROBLEMS, None
    elif generated:
        yield "      source: {kind: embedded}  # the problems are generated"
        shots = 0 if name == "facts" else 1
    elif data is None:
        yield "      # from its public source; `restem data fetch` for jobs without a network"
        shots = None
    else:
        held_out = sizes.held_out if is_trained else 0
        yield "      # the files that it reads: docs/how-to/use-your-own-data.md"
        more = "" if held_out == _HELD_OUT else f", held_out: {held_out}"
        yield f"      source: {{kind: local, directory: {_quoted(str(data))}{more}}}"
        shots = None
    if train is not None:
        yield f"      train: {train}" + ("" if train else "  # there is only a test split")
    yield f"      validation: {validation}"
    if sizes.test is not None or is_gym:
        few = name in ("facts", "hungarian")  # tasks of about 30 problems
        test = min(30, sizes.test or 30) if few else sizes.test or GYM_PROBLEMS
        yield f"      test: {test}"
    if shots is not None:
        yield f"      shots: {shots}  # worked examples in the prompt"
    if task.by_hand:
        yield "    # a human grades it: docs/how-to/grade-by-hand.md"
    elif task.verifier == "code":
        yield "    # its programs run in a sandbox, which needs bubblewrap: restem sandbox check"
    elif task.verifier == "math" and not generated:
        yield "    # for models that do not mark answers as the prompt shows:"
        yield "    # reward: {extraction: flexible}"


def _is_generated(task: Task) -> bool:
    """Tell whether a task generates its problems."""
    try:
        task.files(LocalSource(kind="local", directory=Path("data")), "test")
    except RestemError:
        return True
    return False


def _solutions(task: Task) -> str | None:
    """Return the kind of reference solutions of an embedded task: careful ones, if it has them."""
    source = EmbeddedSource(kind="embedded", pool=1)
    [problem] = task.load(Reader(source, {}), "train")[:1]
    kinds = [kind for kind in ("careful", "terse") if kind in problem.solutions]
    return kinds[0] if kinds else None


def _model(base: BaseModel, on_gpu: float) -> Iterator[str]:
    source = ", ".join(f"{key}: {_quoted(str(value))}" for key, value in base.source.items())
    yield ""
    yield "models:"
    yield f"  {_quoted(base.name)}:"
    yield f"    source: {{{source}}}"
    if base.is_tiny:
        return
    if on_gpu:
        yield "    # sampled with vLLM where jobs have a GPU: `make vllm`, or container images"
        yield "    engine: {dtype: bfloat16}"
    else:
        yield "    engine: {dtype: bfloat16, rows: 64}  # fewer rows need less memory"


def _decodings(sizes: Sizes) -> Iterator[str]:
    most = sizes.max_tokens
    yield ""
    yield "decodings:"
    yield f"  greedy: {{draws: 1, temperature: 0, max_tokens: {most}}}"
    yield "  # what methods train on: more draws solve more problems, and take more time"
    yield (f"  explore: {{draws: {sizes.draws}, temperature: 0.7, top_k: 40, max_tokens: {most}}}")
    yield "  # for pass@k"
    draws = min(sizes.draws, 8)
    yield f"  sampled: {{draws: {draws}, temperature: 1.0, top_p: 0.95, max_tokens: {most}}}"


def _variants(
    base: BaseModel, trained: list[str], methods: list[str], config: Path
) -> Iterator[str]:
    known = presets(config / "methods")
    stated = {name: Method.model_validate(known[name]) for name in (*methods, "sft")}
    needed = ["sft"] if any(stated[name].needs_sft for name in methods) else []
    needed = [name for name in needed if name not in methods]
    yield ""
    yield "variants:  # a method on a task; config/methods says what each method does"
    for task in trained:
        for name in [*needed, *methods]:
            suffix = f"-{task}" if len(trained) > 1 else ""
            keys = {"method": name, "task": task}
            if stated[name].needs_sft:
                keys["sft"] = f"sft{suffix}"
            if stated[name].needs_teacher:
                keys["teacher"] = f"{{model: {_quoted(base.name)}}}"
            if _is_reference(stated[name]):
                keys["reference"] = "true"
            listed = ", ".join(f"{key}: {value}" for key, value in keys.items())
            yield f"  {name}{suffix}: {{{listed}}}" + _note(stated[name])


def _is_reference(method: Method) -> bool:
    """Tell whether a method only fine-tunes on reference solutions, as SFT does."""
    return method.m_step.kind == "fine_tune" and not method.selection.model_data


def _note(method: Method) -> str:
    if method.needs_teacher:
        return "  # name a larger model as the teacher"
    if method.iterations > 1:
        return f"  # iterations: {method.iterations}, unless you say otherwise"
    return ""


def _training(base: BaseModel, sizes: Sizes, on_gpu: float) -> Iterator[str]:
    yield ""
    yield "training:"
    if base.is_tiny:
        yield "  learning_rate: 0.0004  # tiny models need a high one"
        yield "  batch_size: 32"
        return
    yield "  learning_rate: 0.00001"
    needed = base.parameters * _TRAINING_BYTES / 2**30
    if on_gpu:
        yield "  dtype: bfloat16"
        yield "  gradient_checkpointing: true  # less memory, about a third more time"
        if needed > _GPU_SHARE * on_gpu:
            yield f"  lora: {{rank: 16}}  # all weights would take {needed:.0f} GiB"
        elif not base.parameters:
            yield "  # lora: {rank: 16}  # if 16 bytes for each parameter do not fit the GPU"
        return
    yield "  epochs_max: 2"
    yield "  batch_size: 16"
    yield "  pass_tokens: 1024  # limits memory, whatever the batch size"
    yield "  max_length_tokens: 1024"
    yield "  validations: 2"
    yield "  lora: {rank: 16}  # null trains all weights, with 16 bytes for each parameter"


def _evaluations(tasks: list[str], trained: list[str]) -> Iterator[str]:
    yield ""
    yield "evaluations:  # the base model is always evaluated"
    for task in tasks:
        yield f"  - {{task: {task}, split: test, decoding: greedy}}"
    for task in trained:
        yield f"  - {{task: {task}, split: train, decoding: greedy}}  # does it overfit?"
        yield f"  - {{task: {task}, split: test, decoding: sampled, iterations: last}}  # pass@k"
    yield ""
    yield "# Figures and the k of pass@k follow from the evaluations; so they are not stated here."


def _problems_in(name: str, data: Path) -> dict[str, int]:
    """Count the problems of a task's splits in a folder, if all its files are there."""
    task = load_task(name)
    if _is_generated(task) or missing_files([name], data):
        return {}
    reader = Reader(LocalSource(kind="local", directory=data), {})
    splits = ("test",) if name in TEST_ONLY else ("train", "test")
    return {split: len(task.load(reader, split)) for split in splits}


def missing_files(tasks: Sequence[str], data: Path) -> list[Path]:
    """List the files that the tasks read and that are not below the folder of benchmarks."""
    source = LocalSource(kind="local", directory=data)
    benchmarks = [(name, load_task(name)) for name in tasks if not _is_generated(load_task(name))]
    names = {
        file
        for name, task in benchmarks
        for split in (("test",) if name in TEST_ONLY else ("train", "test"))
        for file in task.files(source, split) + task.files(source, "shots")
    }
    return sorted(data / name for name in names if not (data / name).is_file())


def command(
    name: str,
    output: Path,
    model: str,
    tasks: Sequence[str],
    methods: Sequence[str],
    data: Path | None,
) -> str:
    """Write a study; return what to do with it. Without methods: those of the paper.

    Where there is a SLURM, `restem doctor` examines a run on it, so that is what to do there.
    """
    is_trained = any(task not in TEST_ONLY for task in tasks)
    chosen = methods or (PAPER if is_trained else ())
    write(output, new(name, model, tasks, chosen, data))
    missing = missing_files(tasks, data) if data else []
    profile = " --profile slurm" if shutil.which("sinfo") else ""
    return "\n".join(
        [
            *(f"missing: {path} (docs/how-to/use-your-own-data.md)" for path in missing),
            f"wrote {output}; look at it, then:",
            f"  restem doctor {output}",
            f"  restem plan --configfile {output}{profile}",
            f"  snakemake --configfile {output}{profile or ' --cores 2'}",
        ]
    )
