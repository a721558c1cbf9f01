"""The cluster: what the profile and the site settings ask for, against what SLURM has."""

import shutil
from collections.abc import Mapping

from restem.deployment.profile import Request
from restem.deployment.site import Slurm, site_path
from restem.doctor.findings import Finding, Findings, check, error, ok, skipped, warning
from restem.doctor.slurm import Nodes, Partition, accounts_of_user, partitions
from restem.doctor.subject import Place, Subject

SITE = "in the site settings (restem site init)"
PROFILE = "in the profile or in the site settings (restem site init)"


@check("cluster", needs_study=False)
def has_site(place: Place) -> Findings:
    """Say which site settings there are."""
    path = site_path()
    if path.is_file():
        yield ok(f"the site settings {path} can be read")
    else:
        yield skipped(f"there are no site settings ({path}); restem site init writes them")


@check("cluster", needs_study=False)
def grants(place: Place) -> Findings:
    """Compare what each rule asks for with the partition that it would run in."""
    if place.profile is None:
        yield skipped("no SLURM here (there is no sinfo on PATH), or no profile is named")
        return
    if not place.is_remote:
        yield skipped(f"with the profile {place.profile.folder}, jobs run on this machine")
        return
    if shutil.which("sinfo") is None:
        yield error(
            f"the profile {place.profile.folder} submits to SLURM, and there is no SLURM here",
            "run this on a login node of the cluster",
        )
        return
    found = partitions()
    if found is None:
        level = error if place.is_named else warning
        text = f"SLURM does not answer, so runs with the profile {place.profile.folder} will wait"
        yield level(text, "wait until `scontrol ping` reports that it is up")
        return
    yield from _account(place.site.slurm)
    requests = list(place.profile.requests(place.site))
    wrong = dict.fromkeys(f for request in requests for f in compared(request, found))
    yield from wrong
    if not any(finding.level == "error" for finding in wrong):
        names = sorted({_partition_name(request, found) for request in requests} & found.keys())
        rules = f"{len(requests) - 1} rules of {place.profile.folder} and all others"
        yield ok(f"what {rules} ask for can be had in {', '.join(names)}")


def _account(slurm: Slurm) -> Findings:
    accounts = accounts_of_user()
    if slurm.account and accounts and slurm.account not in accounts:
        yield error(
            f"you have no account {slurm.account!r}; you have {', '.join(accounts)}",
            f"correct slurm.account {SITE}",
        )


def _partition_name(request: Request, found: Mapping[str, Partition]) -> str:
    """Return the partition that a job runs in; empty if it is none of SLURM's choice."""
    stated = request.resources.get("slurm_partition")
    default = next((name for name, partition in found.items() if partition.is_default), "")
    return str(stated or default)


def compared(request: Request, found: Mapping[str, Partition]) -> Findings:
    """Describe what a rule asks for and does not get."""
    name = _partition_name(request, found)
    if not name:
        known = ", ".join(found)
        yield error(
            f"{request.rule}: no partition is named, and SLURM has no default; it has {known}",
            f"set slurm.partition {SITE}",
        )
        return
    partition = found.get(name)
    if partition is None:
        known = ", ".join(found)
        yield error(
            f"{request.rule}: there is no partition {name!r}; there are {known}",
            f"correct slurm.partition {SITE}",
        )
        return
    yield from _limits(request, partition)
    yield from _nodes(request, partition)
    if request.unread:
        listed = ", ".join(request.unread)
        yield Finding("skipped", f"{request.rule}: expressions are not compared: {listed}")


def _limits(request: Request, partition: Partition) -> Findings:
    where, wanted = f"{request.rule} in partition {partition.name}", request.resources
    if not partition.is_up:
        yield warning(f"{where}: it is not up", "wait, or name another partition")
    runtime = wanted.get("runtime")
    if runtime and partition.minutes is not None and runtime > partition.minutes:
        yield error(
            f"{where}: it asks for {runtime} minutes, and the limit is {partition.minutes}",
            f"lower runtime in the profile, or set slurm.max_runtime: {partition.minutes} {SITE}",
        )
    for key, allowed in (("slurm_account", partition.accounts), ("qos", partition.qos)):
        if wanted.get(key) and allowed and wanted[key] not in allowed:
            yield error(
                f"{where}: {key} {wanted[key]} may not use it; {', '.join(allowed)} may",
                f"name one of them {PROFILE}",
            )


def _nodes(request: Request, partition: Partition) -> Findings:
    """Look for a node that has everything; without one, say what no node has."""
    where, wanted = f"{request.rule} in partition {partition.name}", request.resources
    if not partition.nodes:
        yield warning(f"{where}: no node is up", "wait, or name another partition")
        return
    lacks = [dict(_lacks(request, nodes)) for nodes in partition.nodes]
    if any(not lacking for lacking in lacks):
        return
    fewest = min(lacks, key=len)
    for what, most in fewest.items():
        yield error(f"{where}: it asks for {what}, and its nodes have {most}", _fix(what, wanted))


def _fix(what: str, wanted: Mapping[str, object]) -> str:
    if "MB" in what:
        return f"lower mem_mb in the profile, or set slurm.max_mem_mb {SITE}"
    return f"correct it {PROFILE}"


def _lacks(request: Request, nodes: Nodes) -> list[tuple[str, str]]:
    """List what a rule asks for and a node lacks, each with what the node has."""
    wanted, lacking = request.resources, []
    if (memory := wanted.get("mem_mb", 0)) > nodes.memory_mb:
        lacking.append((f"{memory} MB", f"{nodes.memory_mb} MB"))
    if (cpus := wanted.get("cpus_per_task", 1)) > nodes.cpus:
        lacking.append((f"{cpus} CPUs", f"{nodes.cpus} CPUs"))
    feature = wanted.get("constraint")
    if isinstance(feature, str) and feature.isidentifier() and feature not in nodes.features:
        lacking.append((f"the feature {feature}", ", ".join(sorted(nodes.features)) or "none"))
    kind = str(wanted.get("gpu_model") or "") if request.gpus else ""
    there = nodes.gpus.get(kind, 0) if kind else sum(nodes.gpus.values())
    if request.gpus > there:
        has = ", ".join(f"{count} {name or 'GPUs'}" for name, count in nodes.gpus.items())
        lacking.append((f"{request.gpus} {kind or 'GPUs'}", has or "no GPU"))
    return lacking


@check("cluster")
def has_gpus_for_processes(subject: Subject) -> Findings:
    """Compare the processes of fine-tuning with the GPUs that the profile gives them."""
    processes = {
        policy.model: subject.study.training_of(policy.variant, policy.model).processes
        for policy in subject.graph.trained
    }
    for model, count in processes.items():
        what = f"{model}: {count} processes fine-tune it (training.processes)"
        yield from _too_few_gpus(subject, "make_policy", model, count, what)


@check("cluster")
def has_gpus_for_engines(subject: Subject) -> Findings:
    """Compare the GPUs that engines spread over with those that the profile gives sampling."""
    for name, model in subject.study.models.items():
        count = model.engine.tensor_parallel * model.engine.replicas
        what = f"{name}: {count} GPUs sample from it (engine.tensor_parallel times replicas)"
        yield from _too_few_gpus(subject, "draw_samples", name, count, what)


def _too_few_gpus(subject: Subject, rule: str, model: str, count: int, what: str) -> Findings:
    """Say that a rule needs more GPUs for a model than the profile gives; what: who needs them."""
    if subject.profile is None:
        return
    requests = {request.rule: request for request in subject.profile.requests(subject.site)}
    asked = requests.get(rule)
    if asked is None or "gpu" in asked.unread or not 0 < asked.gpus < count:
        return
    yield error(
        f"{what}, and the profile gives {rule} {asked.gpus} GPU{'s' if asked.gpus > 1 else ''}",
        f"gpu: {count} if wildcards.model == '{model}' else {asked.gpus}, under "
        f"set-resources: {rule} of a copy of {subject.profile.folder}",
    )
