"""Write the reference pages: configuration, commands, artifacts, methods, each from its source."""

import inspect
import json
import re
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from restem.artifacts.schemas.every import KINDS
from restem.config.claims import Claim
from restem.config.contradictions import unmeasured_claims
from restem.config.experiment import Experiment
from restem.config.load import load_published, load_study, presets
from restem.config.method import Method
from restem.config.strict_yaml import read_yaml
from restem.config.study import Study

Schema = Mapping[str, Any]

CONFIG: Final = Path(__file__).parents[1] / "config"

_WIDTH: Final = 100
_NAME: Final = "<name>"
_BOUNDS: Final = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_INTRODUCTION: Final = """\
# Configuration reference

<!-- Generated from src/restem/config; do not edit. Renew it: python docs/write_reference.py -->

A study is one YAML file. This page lists all of its blocks and keys; `config/demo.yaml` is a short
complete study, and `config/schema.json` states the same as a JSON schema for editors. Keys that are
not marked **required** may be left out. Unknown keys are errors, and all problems of a file are
reported at once. Where a path says `<name>`, you choose the name: letters, digits, `.`, `_` and
`-`, starting with a letter or a digit. `[]` stands for each entry of a list.
"""
_METHODS: Final = """\
# Methods, and how they differ from their sources

<!-- Generated from config/methods; do not edit. Renew it: python docs/write_reference.py -->

Every method is a file in `config/methods/`. A file without a source is a control or a baseline.
`stop` says what ends the training of an iteration.

{methods}

## Deviations from the sources

What a file's `deviations` state. What the paper of ReST-EM leaves open is in
[the paper's experiments](../explanation/paper.md).

{deviations}
"""
_COMMON: Final = ("settings", "code", "environment")
_COMMANDS: Final = """\
# Commands

<!-- Generated from src/restem/cli.py and src/restem/stages; do not edit.
     Renew it: python docs/write_reference.py -->

## Stages

Each stage of the workflow is one command. Rules call them, and `snakemake --printshellcmds` prints
them; a printed command can be pasted and run by hand. An option for a list of files takes them all
at once: `--samples a.parquet b.parquet`. Every stage also has these options:
"""


_PAPER: Final = """\
# The paper and this repository, item by item

<!-- Generated from config/paper; do not edit. Renew it: python docs/write_reference.py -->

Singh et al., *Beyond Human Data* (TMLR 2024, [arXiv 2312.06585](https://arxiv.org/abs/2312.06585),
version 4): every figure, table and named experiment, what makes it here, and what differs. What
differs in all of them, such as the models, is in
[The paper's experiments](../explanation/paper.md#what-differs-from-the-paper); what the tiny study
replaces is under [In miniature](#in-miniature). That something is listed does not mean that it has
been run: [Reproduce the paper](../how-to/reproduce-the-paper.md) says what has.

Panels are tasks (models) as the experiment's figure names them; claims are tests in
`config/paper/claims.yaml`.
"""
_MINI: Final = """\
## In miniature

`config/paper/mini.yaml` runs the same experiments with embedded models. Its tasks only carry the
names of the paper's; a procedural task stands for each:
"""


def paper_reference(config: Path) -> str:
    """Return docs/reference/paper.md: each item of the paper, and the experiments that make it."""
    published = load_published(config)
    experiments = {
        path.stem: Experiment.model_validate(read_yaml(path))
        for path in sorted((config / "paper" / "experiments").glob("*.yaml"), key=_by_number)
    }
    stated_claims = read_yaml(config / "paper" / "claims.yaml")["claims"]
    claims = [Claim.model_validate(claim) for claim in stated_claims]
    rows = [
        (item, stated["shows"], *_made(item, stated, experiments, claims))
        for item, stated in published["items"].items()
    ]
    beyond = [
        (f"`{name}`", experiment.title, _panels(experiment), _claims(name, experiments, claims))
        for name, experiment in experiments.items()
        if experiment.item is None
    ]
    mini = load_study(read_yaml(config / "paper" / "mini.yaml"), config)
    parts = [
        _PAPER,
        _table(("item", "the paper shows", "here", "claims", "same, or what differs"), rows),
        "\n## Beyond the paper\n",
        _table(("experiment", "title", "here", "claims"), beyond),
        "\n" + _MINI,
        _in_miniature(mini),
    ]
    return "\n".join(parts)


def _by_number(path: Path) -> tuple[str, int, str]:
    """Sort F2 before F10."""
    kind, number = re.match(r"([A-Z])(\d+)", path.stem).groups()  # type: ignore[union-attr]
    return kind, int(number), path.stem


def _made(
    item: str, stated: Mapping[str, Any], experiments: Mapping[str, Experiment], claims: list[Claim]
) -> tuple[str, str, str]:
    """Return what makes an item, the claims on it, and what differs."""
    makers = {name: e for name, e in experiments.items() if e.item == item}
    here = [stated["here"]] if "here" in stated else []
    here += [f"`{name}`: {_panels(experiment)}" for name, experiment in makers.items()]
    tested = [text for name in makers if (text := _claims(name, experiments, claims))]
    several = len(makers) > 1
    differs = list(stated.get("differs", ()))
    for name, experiment in makers.items():
        differs += [f"`{name}`: {text}" if several else text for text in experiment.differs]
    return "; ".join(here), ", ".join(tested), " ".join(map(_sentence, differs)) or "same"


def _panels(experiment: Experiment) -> str:
    """Describe the panels of an experiment's figures by their own declarations."""
    described = []
    for figure in experiment.figures.values():
        models = f" ({', '.join(figure.models)})" if figure.models else " (all models)"
        tasks = ", ".join(figure.tasks or ["all tasks"])
        by = ", ".join(figure.decodings or [])
        text = f"{figure.module.replace('_', ' ')} of {tasks}{models}"
        described.append(f"{text}, {by}" if by else text)
    return "; ".join(described)


def _claims(name: str, experiments: Collection[str], claims: list[Claim]) -> str:
    """List the claims on an experiment: those whose id begins with its name, and with no longer."""
    owned = [c.id for c in claims if _owner(c.id, experiments) == name]
    return ", ".join(f"`{claim}`" for claim in owned)


def _owner(claim: str, experiments: Collection[str]) -> str | None:
    """Return the experiment with the longest name that a claim's id begins with."""
    names = [name for name in experiments if claim == name or claim.startswith(f"{name}-")]
    return max(names, key=len, default=None)


def _in_miniature(mini: Study) -> str:
    """Say what stands for each task, how much is drawn, and which claims cannot be tested."""
    rows = [
        (f"`{task}`", f"`{block.module or task}`", str(block.data.train), str(block.data.test))
        for task, block in mini.tasks.items()
    ]
    draws = {name: decoding.draws for name, decoding in mini.decodings.items()}
    drawn = (
        f"Of each training problem {draws['explore']} completions are drawn (in the paper 32 of "
        f"MATH, 64 of APPS), for pass@K {draws['nucleus']} (64), for votes {draws['vote']} (64)."
    )
    missing = [line.partition(";")[0] for line in unmeasured_claims(mini)]
    lines = [line.removeprefix("claims: ") for line in missing]
    lacking = ["Claims that it cannot test:\n", *(f"- {line}" for line in lines)] if lines else []
    head = ("task", "procedural task", "training problems", "test problems")
    parts = [_table(head, rows), "", _wrapped(drawn), "", *(_wrapped(x, "  ") for x in lacking)]
    return "\n".join(parts) + "\n"


def _sentence(text: str) -> str:
    text = text.strip().rstrip(".")
    return f"{text[0].upper()}{text[1:]}."


def _table(headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    cells = [headers, tuple(":--" for _ in headers), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in cells)


def configuration_reference() -> str:
    """Return docs/reference/configuration.md: every block, key, type, default and meaning."""
    study = Study.model_json_schema()
    titles = {"Study": "The study"}
    _add_titles(study, "", study["$defs"], titles)
    sections = [_INTRODUCTION]
    for name, title in titles.items():
        block = study if name == "Study" else study["$defs"][name]
        keys = "\n".join(_key(key, block, titles) for key in block["properties"])
        sections.append(f"## {title}\n\n{_paragraphs(block['description'])}\n\n{keys}\n")
    return "\n".join(sections)


def _add_titles(block: Schema, path: str, blocks: Schema, titles: dict[str, str]) -> None:
    """Name each block after the first place in a study that holds it, depth first."""
    for key, value in block["properties"].items():
        for name, suffix in _blocks(value):
            if name not in titles:
                kind = blocks[name]["properties"].get("kind", {}).get("const")
                titles[name] = f"`{path}{key}{suffix}`" + (f", `kind: {kind}`" if kind else "")
                _add_titles(blocks[name], f"{path}{key}{suffix}.", blocks, titles)


def _blocks(value: Any, suffix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each block that a value may hold, with what follows the key in the block's path."""
    if "$ref" in value:
        yield value["$ref"].rpartition("/")[2], suffix
    for choice in [*value.get("anyOf", []), *value.get("oneOf", [])]:
        yield from _blocks(choice, suffix)
    if "items" in value:
        yield from _blocks(value["items"], f"{suffix}[]")
    if entries := _entries(value):
        yield from _blocks(entries, f"{suffix}.{_NAME}")


def _entries(value: Schema) -> Any:
    """Return the schema of a mapping's values, None where they may be anything."""
    patterns = value.get("patternProperties", {})
    entries = next(iter(patterns.values()), value.get("additionalProperties"))
    return entries if isinstance(entries, dict) else None


def _key(key: str, block: Schema, titles: Mapping[str, str]) -> str:
    """Write one key as an item of a list: name, type, default and meaning."""
    value = block["properties"][key]
    facts = [_type(value, titles)]
    if key in block.get("required", []) and "const" not in value:
        facts.append("**required**")
    elif "default" in value:
        default = value["default"]
        is_word = isinstance(default, str) and default
        facts.append(f"default `{default if is_word else json.dumps(default)}`")
    text = f"- **`{key}`** ({', '.join(facts)}): {_escaped(value.get('description', ''))}"
    return _wrapped(text.removesuffix(": "), "  ")


def _type(value: Schema, titles: Mapping[str, str], plural: str = "") -> str:
    """Describe what a key may hold, with links to blocks."""
    if "$ref" in value:
        return _link(titles[value["$ref"].rpartition("/")[2]])
    if choices := value.get("anyOf") or value.get("oneOf"):
        return " or ".join(_type(choice, titles) for choice in choices)
    if "const" in value or "enum" in value:
        return " or ".join(f"`{c}`" for c in value.get("enum") or [value["const"]])
    if value["type"] == "array":
        return f"list of {_type(value['items'], titles, 's')}"
    if value["type"] == "object":
        names = value.get("propertyNames", {}).get("enum", [_NAME])
        entries, keys = _entries(value), " or ".join(f"`{name}`" for name in names)
        return f"mapping of {keys} to {_type(entries, titles)}" if entries else "mapping"
    kind = "path" if value.get("format") == "path" else value["type"]
    bounds = [f"{sign} {value[name]}" for name, sign in _BOUNDS.items() if name in value]
    return f"{'`null`' if kind == 'null' else kind + plural} {' and '.join(bounds)}".strip()


def _link(title: str) -> str:
    """Link to a heading of the same page, by the anchor that GitHub gives it."""
    anchor = "".join(c for c in title.lower() if c.isalnum() or c in " -_").replace(" ", "-")
    return f"[{title.rpartition(', ')[2]}](#{anchor})"


def _paragraphs(text: str) -> str:
    return "\n\n".join(_wrapped(_escaped(part)) for part in text.split("\n\n"))


def _escaped(text: str) -> str:
    """Keep Markdown from taking `<study>` outside of code for a tag."""
    parts = " ".join(text.split()).split("`")
    return "`".join(part if i % 2 else part.replace("<", r"\<") for i, part in enumerate(parts))


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def command_reference(cli: click.Group) -> str:
    """Return docs/reference/commands.md: every command, its arguments and its options."""
    commands = list(
        _commands(
            cli, click.Context(cli, info_name="restem", show_default=True, **cli.context_settings)
        )
    )
    stages = [command for command in commands if "settings" in _options(command)]
    tools = [command for command in commands if command not in stages]
    common = "\n".join(_options(stages[0])[name] for name in _COMMON)
    pages = {
        _COMMANDS + f"\n{common}\n": [_command(stage, without=_COMMON) for stage in stages],
        "## Tools\n": [_command(tool) for tool in tools],
    }
    return "\n".join(part for head, parts in pages.items() for part in [head, *parts])


def _commands(group: click.Group, context: click.Context) -> Iterator[click.Context]:
    """Yield a context for every command of a group and of the groups in it."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _commands(command, click.Context(command, context, name))
        elif command and not command.hidden:
            yield click.Context(command, context, name)


def _command(context: click.Context, without: Collection[str] = ()) -> str:
    usage = " ".join([context.command_path, *context.command.collect_usage_pieces(context)[1:]])
    text = inspect.cleandoc(context.command.help or "").partition("Raises ")[0].strip()
    options = [line for name, line in _options(context).items() if name not in without]
    head = f"### `{usage}`\n\n{_paragraphs(text)}\n"
    return head + "".join(f"\n{line}" for line in options) + "\n" * bool(options)


def _options(context: click.Context) -> dict[str, str]:
    """Return each option of a command as an item of a list, by its name."""
    lines = {}
    for option in context.command.params:
        if isinstance(option, click.Option):
            name, text = option.get_help_record(context) or ("", "")
            name = name.replace(" RANGE", "") + " ..." * option.multiple
            facts = re.sub(r"\[([^]]*)\]$", r"(\1)", _escaped(text))
            lines[str(option.name)] = _wrapped(f"- `{name}` {facts}".strip(), "  ")
    return lines


def with_columns(page: str) -> str:
    """Renew the tables of columns in docs/reference/artifacts.md, between its markers."""
    for kind, (_, schema) in KINDS.items():
        cells = [(f"`{f.name}`", f"`{f.type}`", "" if f.nullable else "yes") for f in schema]
        head = [("column", "type", "required"), (":--", ":--", ":--")]
        table = "\n".join(f"| {' | '.join(row)} |" for row in [*head, *cells])
        start, end = f"<!-- columns of {kind} -->\n", "<!-- end -->"
        page = re.sub(f"{start}.*?{end}", f"{start}\n{table}\n\n{end}", page, flags=re.DOTALL)
    return page


def methods_reference(folder: Path) -> str:
    """Describe where every preset comes from, and what is not as in that source."""
    methods = {n: Method.model_validate(m) for n, m in presets(folder).items()}
    rows = [("method", "source", "iterations", "stop")]
    rows += [
        (f"`{n}`", m.paper or "none", str(m.iterations), m.training.get("stop", "see `training`"))
        for n, m in methods.items()
    ]
    differing = [("method", "what", "in the source", "here")]
    differing += [
        (f"`{name}`", deviation.what, deviation.source, deviation.here)
        for name, method in methods.items()
        for deviation in method.deviations
    ]
    return _METHODS.format(
        methods=_table(rows[0], rows[1:]), deviations=_table(differing[0], differing[1:])
    )


def write_pages(folder: Path, cli: click.Group) -> None:
    """Renew the reference pages in a folder."""
    artifacts = folder / "artifacts.md"
    pages = {
        "configuration.md": configuration_reference(),
        "commands.md": command_reference(cli),
        "artifacts.md": with_columns(artifacts.read_text()),
        "paper.md": paper_reference(folder.parents[1] / "config"),
        "methods.md": methods_reference(CONFIG / "methods"),
    }
    for name, text in pages.items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    from restem.cli import cli as restem

    write_pages(Path(__file__).parent / "reference", restem)
