"""Stage methods: the table of methods by property, from the presets themselves."""

from pathlib import Path

from restem.artifacts.store import Job, write_text
from restem.config.base import Strict
from restem.config.method import Method
from restem.pages.methods import markdown


class Settings(Strict):
    """The methods as configured, the temperature of every decoding, and what can only be cited."""

    methods: dict[str, Method]
    temperatures: dict[str, float]
    cited: dict[str, dict[str, str]]


def run(job: Job, output: Path) -> None:
    """Write the table as Markdown."""
    settings = Settings.model_validate(job.recipe.settings)
    write_text(output, markdown(settings.methods, settings.temperatures, settings.cited))
    print(f"methods: {len(settings.methods)} presets", flush=True)
