"""Stage methods: the table of methods by property, from the presets themselves."""

from restem.artifacts.files import write_text
from restem.artifacts.store import Job
from restem.config.base import Strict
from restem.config.method import Method
from restem.pages.methods import markdown
from restem.stages.declaration import OutputFile, stage


class Settings(Strict):
    """The methods as configured, the temperature of every decoding, and what can only be cited."""

    methods: dict[str, Method]
    temperatures: dict[str, float]
    cited: dict[str, dict[str, str]]


@stage(lock="report")
def run(job: Job, settings: Settings, *, output: OutputFile) -> None:
    """Write the table of methods by property, from the presets themselves."""
    write_text(output, markdown(settings.methods, settings.temperatures, settings.cited))
    print(f"methods: {len(settings.methods)} presets", flush=True)
