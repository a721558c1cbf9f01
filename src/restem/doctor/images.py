"""Container images: those that the jobs of the study would run in."""

import shutil

from restem.deployment import needs
from restem.deployment.images import verified
from restem.doctor.findings import Findings, check, error, ok, skipped
from restem.doctor.subject import Subject
from restem.errors import RestemError


@check("images")
def are_built(subject: Subject) -> Findings:
    """Compare the images that the study needs with their records."""
    profile = subject.profile
    if profile is None or not profile.is_contained:
        named = f"the profile {profile.folder}" if profile else "a run on this machine"
        yield skipped(f"{named} uses no container images")
        return
    if not (shutil.which("apptainer") or shutil.which("singularity")):
        yield error(
            "apptainer is missing, and the profile runs jobs in images",
            "load your site's module (site settings: modules), or install it: "
            "containers/install-apptainer.sh on Debian 12",
        )
    for image in needs.images(subject.graph, subject.root):
        try:
            digest = verified(image)
        except RestemError as problem:
            build = f"snakemake images --profile {profile.folder} --configfile {subject.path}"
            yield error(
                f"{problem.what}: {problem.where}",
                problem.fix if image.path.is_file() else f"build what is missing: {build}",
            )
        else:
            yield ok(f"{image.path} is as it was built, sha256 {digest[:12]}…")
