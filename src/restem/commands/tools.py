"""The commands that look after tools: `restem images` and `restem sandbox`."""

from pathlib import Path

import click

ROOT = Path()


@click.group()
def images() -> None:
    """Containers for Apptainer: build them, list them, verify them."""


@images.command()
@click.argument("name")
@click.option("--mirror", help="Debian mirror to bootstrap from; this machine's own if left out.")
@click.option(
    "--wheels",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with the wheels of the locks; pip collects them if it is left out.",
)
@click.option(
    "--from-debian",
    is_flag=True,
    help="Base it on Debian from the mirror, where no registry of containers can be reached.",
)
def build(name: str, mirror: str | None, wheels: Path | None, from_debian: bool) -> None:
    """Build one image of containers/ from its definition and the locks."""
    from restem.deployment.images import Image
    from restem.deployment.images import build as make

    image = Image(name, ROOT)
    make(image, mirror, wheels, from_debian)
    click.echo(f"built {image.path}")


@images.command()
@click.argument("names", nargs=-1)
@click.option("--gpu", is_flag=True, help="Ask for a GPU driver too.")
def check(names: tuple[str, ...], gpu: bool) -> None:
    """Verify images against what was built; all definitions if none is named."""
    from restem.deployment.images import FOLDER, Image, driver, verified
    from restem.errors import RestemError

    if gpu:
        click.echo(driver())
    wrong = 0
    for name in names or sorted(path.stem for path in (ROOT / FOLDER).glob("*.def")):
        try:
            image = Image(name, ROOT)
            click.echo(f"{image.path}: as built, sha256 {verified(image)}")
        except RestemError as problem:
            wrong += 1
            click.echo(str(problem), err=True)
    if wrong:
        raise SystemExit(1)


@click.group()
def sandbox() -> None:
    """Look at the sandbox that runs programs."""


@sandbox.command("check")
def check_sandbox() -> None:
    """Probe every wall of the sandbox on this machine; fails if one is missing."""
    from restem.sandbox.probe import report

    if not report(click.echo):
        raise SystemExit(1)
