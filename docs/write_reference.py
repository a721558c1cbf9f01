"""Write the reference pages: configuration, commands, artifacts, methods, each from its source."""

import inspect
import json
import re
import textwrap
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from restem.artifacts.tables import SCHEMAS
from restem.config.load import presets
from restem.config.method import Method
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
    commands = list(_commands(cli, click.Context(cli, info_name="restem", show_default=True)))
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
        elif command:
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
    for kind, schema in SCHEMAS.items():
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
    return _METHODS.format(methods=_table(rows), deviations=_table(differing))


def _table(rows: list[tuple[str, ...]]) -> str:
    head, *cells = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, [":--"] * len(head), *cells])


def write_pages(folder: Path, cli: click.Group) -> None:
    """Renew the reference pages in a folder."""
    artifacts = folder / "artifacts.md"
    pages = {
        "configuration.md": configuration_reference(),
        "commands.md": command_reference(cli),
        "artifacts.md": with_columns(artifacts.read_text()),
        "methods.md": methods_reference(CONFIG / "methods"),
    }
    for name, text in pages.items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    from restem.cli import cli as restem

    write_pages(Path(__file__).parent / "reference", restem)
