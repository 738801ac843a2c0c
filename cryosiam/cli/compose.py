"""From options to a pipeline: which adapters, stages and products a command means, and running it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryosiam.cli.exchange_facts import tomogram_size
from cryosiam.cli.networks_used import NetworksUsed, networks_used
from cryosiam.cli.pick import PickOptions
from cryosiam.errors import InputError
from cryosiam.pipeline.manifest import load_manifest
from cryosiam.pipeline.plan import Pipeline, Product
from cryosiam.pipeline.products import PARTICLE, PickSelection, ProductFactory
from cryosiam.pipeline.progress import reporter
from cryosiam.pipeline.runner import Outcome, PlannedRun, Project, Runner
from cryosiam.pipeline.summary import TableSummary
from cryosiam.ports import HandBack, ProductKey, ProjectSource, Sink, Source, adapter_class
from cryosiam.scores import LEAST_SCORE
from cryosiam.stages.stage import Resources, Stage, WeightsUsed

if TYPE_CHECKING:
    from cryosiam.pipeline.progress import Reporter
    from cryosiam.stages.check.config import CheckConfig
    from cryosiam.weights import WeightsCard

_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>[kmgt]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


@dataclass(frozen=True)
class Composition:
    """Everything a command needs.

    Parameters
    ----------
    project, pipeline, summary, resources
        As `cryosiam.pipeline.runner.Runner` takes them.
    """

    project: Project
    pipeline: Pipeline
    summary: TableSummary | None
    resources: Resources

    def runner(self, reporting: Reporter) -> Runner:
        """Return a runner."""
        return Runner(self.project, self.pipeline, self.summary, self.resources, reporting)


def bring_up_to_date(options: PickOptions, target: str) -> None:
    """Run the pipeline up to what command ``target`` makes, or say what that would mean."""
    with reporter(options.quiet) as reporting:
        runner = compose(options, target).runner(reporting)
        if options.dry_run:
            for item in runner.plan(options.overwrite):
                reporting.note(describe_plan(item))
            return
        outcome = runner.run(options.overwrite)
        conclude(outcome, runner, reporting)


def describe_plan(item: PlannedRun) -> str:
    """Return one line: what would be done for a run."""
    if item.plan.is_empty:
        return f"{item.tomogram.run}: up to date"
    stages = ", ".join(stage.name for stage in item.plan.stages) or "nothing"
    products = ", ".join(product.name for product in item.plan.products)
    z, y, x = item.tomogram.shape
    return (
        f"{item.tomogram.run}: {item.tomogram.tomogram_type}, {z} x {y} x {x} voxels of "
        f"{item.tomogram.voxel_size_angstrom:g} Å: would run {stages}; would write {products}"
    )


def conclude(outcome: Outcome, runner: Runner, reporting: Reporter) -> None:
    """Tell the user what came of a call.

    Raises
    ------
    CryoSiamError
        If a run failed.
    """
    for line in runner.news:
        reporting.note(line)
    if outcome.failed:
        for run, error in list(outcome.failed.items())[:-1]:
            reporting.warn(str(error) if run in str(error) else f"{run}: {error}")
        raise list(outcome.failed.values())[-1]
    if not outcome.done and not runner.news:
        reporting.note("nothing to do: everything is up to date (--overwrite redoes it)")


def compose(options: PickOptions, target: str, particles_folder: Path | None = None) -> Composition:
    """Return what command ``target`` needs; files are opened for reading at most.

    Parameters
    ----------
    options
        What the user asked for.
    target
        Name of the command.
    particles_folder
        Where particles for RELION go; by default ``relion5`` in the results folder.

    Raises
    ------
    CryoSiamError
        If an option, the project or the weights cannot be used.
    """
    if options.low_pass is not None and not 0 < options.low_pass < 1000:
        raise InputError(f"--low-pass {options.low_pass:g} is not a resolution in Å; 20 to 40 are usual")
    key = ProductKey(options.user_id, options.session_id)
    networks = networks_used(options.weights, target)
    selection, renames = _objects(options.objects, options.threshold, networks.species)
    out = _results_folder(options)
    source, name = _source(options)
    if options.mrc and not options.overwrite:
        _refuse_other_files(source, out)
    sinks = _volume_sinks(options, out, renames)
    project = Project(source, name, sinks, key, out, {"contrast": options.contrast.value})
    factory = ProductFactory(sinks, key, out, selection, {"objects": renames})
    return Composition(
        project,
        Pipeline(
            _stages(options, networks, _classes(selection, source, networks.species)), _products(factory)[target]()
        ),
        _summary(options, target, project, selection, particles_folder),
        _resources(options),
    )


def _classes(selection: PickSelection, source: Source, species: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the classes to tell apart: those asked for, or those the project names, or all where it names none."""
    if selection.classes is not None:
        return selection.classes
    wanted = source.particle_names()
    return tuple(name for name in species if name in wanted) if wanted else None


def _stages(options: PickOptions, networks: NetworksUsed, classes: tuple[str, ...] | None) -> tuple[Stage, ...]:
    from cryosiam.segmentation import InstanceConfig
    from cryosiam.stages.check.run import CheckStage
    from cryosiam.stages.dense.run import DenseStage
    from cryosiam.stages.instances.config import InstancesConfig
    from cryosiam.stages.instances.run import InstancesStage
    from cryosiam.stages.preview.run import PreviewStage
    from cryosiam.weights import load_dense_parts

    first = networks.first
    used = networks.dense_used()
    load: Callable[[], Any] = cache(lambda: load_dense_parts(options.weights))
    return (
        CheckStage(used, lambda: load()[0], first.voxel_size_angstrom, _check_config(options, first)),
        DenseStage(used, load),
        PreviewStage(),
        InstancesStage(
            InstancesConfig(
                # With what scores less gone, a higher threshold can be tried without separating them again.
                separation=InstanceConfig(min_score=min(options.threshold, LEAST_SCORE)),
                calibration=networks.score,
            )
        ),
        *(_particle_stages(options, networks.subtomogram, classes) if networks.subtomogram else ()),
    )


def _check_config(options: PickOptions, card: WeightsCard) -> CheckConfig:
    from cryosiam.stages.check.config import CheckConfig
    from cryosiam.weights.card import UNIT_RANGE

    return CheckConfig.model_validate(
        {
            "contrast": options.contrast.value,
            "wanted_contrast": card.contrast.value,
            "unit_range": card.normalisation == UNIT_RANGE,
            "low_pass_angstrom": options.low_pass,
        }
    )


def _particle_stages(options: PickOptions, card: WeightsCard, classes: tuple[str, ...] | None) -> tuple[Stage, ...]:
    from cryosiam.stages.classify.config import ClassifyConfig
    from cryosiam.stages.classify.run import ClassifyStage
    from cryosiam.stages.embed.config import EmbedConfig
    from cryosiam.stages.embed.run import EmbedStage
    from cryosiam.weights import load_subtomogram
    from cryosiam.weights.card import UNIT_RANGE

    load: Callable[[], Any] = cache(lambda: load_subtomogram(options.weights))
    used = WeightsUsed(card.name, card.sha256)
    embed = EmbedConfig(crops=card.crops, unit_range=card.normalisation == UNIT_RANGE)
    classify = ClassifyConfig(objects=classes, nothing_else=options.nothing_else)
    return EmbedStage(used, load, embed), ClassifyStage(used, load, classify)


def _products(make: ProductFactory) -> dict[str, Callable[[], tuple[Product, ...]]]:
    """Return, for each command, the products it brings up to date."""
    embeddings = ("particles", "embeddings")
    return {
        "denoise": lambda: (make.denoised(),),
        "segment": lambda: (make.segmentation(),),
        "instances": lambda: (make.instances(), make.unclassified_picks()),
        "embed": lambda: (make.tables("embeddings", *embeddings),),
        "classify": lambda: (make.picks(), make.tables("embeddings", *embeddings), make.tables("classes", "picks")),
        "pick": lambda: (
            make.denoised(),
            make.segmentation(),
            make.instances(),
            make.picks(),
            make.tables("embeddings", *embeddings),
            make.tables("classes", "picks"),
            make.overlay(),
        ),
    }


def _source(options: PickOptions) -> tuple[Source, str]:
    if [options.copick is None, not options.mrc, options.relion is None].count(False) != 1:
        raise InputError("give one of --copick project.json, --mrc 'tomograms/*.mrc' and --relion tomograms.star")
    if options.relion is not None:
        return _relion_source(options, options.relion)
    if options.copick is not None:
        if options.voxel_size is not None:
            raise InputError("--voxel-size is for --mrc; a copick project states its voxel sizes itself")
        source = adapter_class("source", "copick")(
            options.copick, tomogram=options.tomogram, runs=options.runs, own_user_id=options.user_id
        )
        return source, f"copick:{options.copick.resolve()}"
    if options.tomogram is not None:
        raise InputError("--tomogram is for --copick; give the files you want with --mrc")
    source = adapter_class("source", "mrc")(options.mrc, voxel_size_angstrom=options.voxel_size, runs=options.runs)
    return source, "mrc"


def _relion_source(options: PickOptions, tomograms_star: Path) -> tuple[Source, str]:
    for name in ("voxel_size", "tomograms_star", "tilt_series_pixel_size", "tomogram_size"):
        if getattr(options, name) is not None:
            raise InputError(f"--{name.replace('_', '-')} is not for --relion; {tomograms_star} states it")
    source = adapter_class("source", "relion")(tomograms_star, tomogram=options.tomogram, runs=options.runs)
    return source, f"relion:{tomograms_star.resolve()}"


def _refuse_other_files(source: Source, out: Path) -> None:
    """Keep the results of another file of the same name."""
    manifest = load_manifest(out)
    for run in source.runs():
        record = manifest.runs.get(run) if manifest else None
        if record is None:
            continue
        now, then = Path(source.tomogram(run).source), Path(record.input.location)
        if now.resolve() != then.resolve():
            raise InputError(
                f"{out} holds results of {then} for run '{run}', not of {now}; "
                "give another --out, or --overwrite to replace them"
            )


def _volume_sinks(options: PickOptions, out: Path, renames: dict[str, str]) -> tuple[Sink, ...]:
    # The runner has made sure that nothing but this folder's own products is replaced.
    if options.copick is None:
        return (adapter_class("sink", "mrc")(out, overwrite=True),)
    return (
        adapter_class("sink", "copick")(
            options.copick, objects=renames, add_objects=not options.no_add_objects, overwrite=True
        ),
    )


def _summary(
    options: PickOptions, target: str, project: Project, selection: PickSelection, particles_folder: Path | None
) -> TableSummary | None:
    if target == "embed":
        return TableSummary(project)
    if target not in ("pick", "classify"):
        return None
    tomograms_star = options.tomograms_star or options.relion
    facts: dict[str, Any] = {
        "tomograms_star": str(tomograms_star) if tomograms_star else None,
        "tilt_series_pixel_size_angstrom": options.tilt_series_pixel_size,
        "tomogram_size_xyz": tomogram_size(options.tomogram_size),
        "binned_by_averaging": options.binned_by_averaging,
    }
    stars: list[Sink] = [adapter_class("sink", "star")(project.out)]
    back = project.source.hand_back if isinstance(project.source, ProjectSource) else HandBack("relion5")
    relion = adapter_class("sink", back.sink).from_options(
        project.out, **facts, folder=particles_folder, project_root=back.project_root
    )
    if isinstance(relion, str):
        return TableSummary(project, tuple(stars), selection, facts, (relion,))
    if tomograms_star is not None:
        facts["tomograms_star_sha256"] = hashlib.sha256(tomograms_star.read_bytes()).hexdigest()
    return TableSummary(project, (*stars, relion), selection, facts)


def _results_folder(options: PickOptions) -> Path:
    """Return an absolute path: the manifest records where products are, for calls from any folder."""
    if options.out is not None:
        return options.out.absolute()
    return (options.copick.parent / "cryosiam" if options.copick is not None else Path("cryosiam")).absolute()


def _objects(text: str | None, threshold: float, species: tuple[str, ...]) -> tuple[PickSelection, dict[str, str]]:
    """Read ``--objects``: classes to write, each with ``CLASS=OBJECT`` where the project has another name for it."""
    if not 0 <= threshold <= 1:
        raise InputError(f"--threshold {threshold:g} is not a score; give a number from 0 to 1")
    if text is None:
        return PickSelection(threshold), {}
    pairs = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    classes = tuple(name for name, _, _ in pairs)
    known = (*species, PARTICLE)
    unknown = [name for name in classes if name not in known]
    if unknown or not classes:
        wrong = f"'{unknown[0]}', which these weights do not know" if unknown else "nothing"
        raise InputError(f"--objects names {wrong}; they know {', '.join(known)}")
    targets = [other or name for name, _, other in pairs]
    double = next((target for target in targets if targets.count(target) > 1), None)
    if double is not None:
        raise InputError(f"--objects names '{double}' for more than one class, whose picks would replace each other")
    return PickSelection(threshold, classes), {name: other for name, _, other in pairs if other}


def _resources(options: PickOptions) -> Resources:
    from cryosiam.inference.precision import choose_device

    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if options.threads is not None:
        import torch

        torch.set_num_threads(options.threads)
    return Resources(
        device=choose_device(options.device),
        memory_bytes=memory_bytes(options.memory),
        workers=options.threads or there,
        seed=options.seed,
    )


def memory_bytes(text: str | None) -> int | None:
    """Return a size such as ``4G`` or ``800 MB`` in bytes; None for None.

    Raises
    ------
    InputError
        If it is not a size.
    """
    if text is None:
        return None
    match = _SIZE.fullmatch(text.strip())
    if match is None or float(match["number"]) <= 0:
        raise InputError(f"--memory '{text}' is not a size; write it as 4G or 800M")
    return int(float(match["number"]) * _UNITS[match["unit"].lower()])
