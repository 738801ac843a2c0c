"""Doing the work: run by run, stage by stage, each step recorded once it is complete."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cryosiam.errors import CryoSiamError, InputError
from cryosiam.pipeline.guard import refuse_edited, refuse_existing
from cryosiam.pipeline.manifest import (
    FILE_NAME,
    InputRecord,
    Manifest,
    ProductRecord,
    RunRecord,
    StageRecord,
    SummaryRecord,
    WeightsRecord,
    load_manifest,
    now,
    save_manifest,
    versions,
)
from cryosiam.pipeline.measure import Measurement, measured
from cryosiam.pipeline.plan import Fingerprints, Pipeline, Product, ProductWork, RunPlan
from cryosiam.pipeline.storage import folder_lock, storage_errors
from cryosiam.stages.scratch import Scratch
from cryosiam.stages.stage import Resources, Stage, StageWork

if TYPE_CHECKING:
    from cryosiam.domain import Tomogram
    from cryosiam.pipeline.progress import Reporter
    from cryosiam.ports import ProductKey, Sink, Source

WORK_FOLDER = ".work"


class Summary(Protocol):
    """Files that hold all runs together."""

    def check(self, tomograms: Sequence[Tomogram]) -> None:
        """Raise a `CryoSiamError` if writing is bound to fail; called before work."""
        ...

    def fingerprint(self, manifest: Manifest) -> str:
        """Return what the files depend on."""
        ...

    def write(self, manifest: Manifest) -> SummaryRecord:
        """Write them, each whole, and return where they went and what was left out."""
        ...


@dataclass(frozen=True)
class Project:
    """Where runs come from and where products go.

    Parameters
    ----------
    source
        Gives the tomograms.
    source_name
        Adapter and place, for the manifest.
    sinks
        Take the products of single runs.
    key
        Session under which products are written.
    out
        Results folder.
    input_facts
        Options that change what is read, such as a contrast given by the user.
    """

    source: Source
    source_name: str
    sinks: tuple[Sink, ...]
    key: ProductKey
    out: Path
    input_facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def session(self) -> str:
        """User and session in one word."""
        return f"{self.key.user_id}/{self.key.session_id}"

    @property
    def work_folder(self) -> Path:
        """Folder of intermediate results."""
        return (self.out / WORK_FOLDER).absolute()

    def scratch(self, run: str) -> Scratch:
        """Return the folder of intermediate results of ``run``."""
        return Scratch(self.out / WORK_FOLDER / run)

    def run_input(self, tomogram: Tomogram) -> dict[str, object]:
        """Return what is known of a tomogram before its voxels are read."""
        return {
            "signature": self.source.signature(tomogram.run),
            "location": tomogram.source,
            "shape_zyx": list(tomogram.shape),
            "voxel_size_angstrom": tomogram.voxel_size_angstrom,
            **self.input_facts,
        }


@dataclass(frozen=True)
class Outcome:
    """What a call did."""

    done: tuple[str, ...] = ()
    up_to_date: tuple[str, ...] = ()
    failed: dict[str, CryoSiamError] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedRun:
    """A run and what is to be done for it."""

    tomogram: Tomogram
    prints: Fingerprints
    plan: RunPlan


class Runner:
    """Brings a results folder up to date.

    Parameters
    ----------
    project
        Where things come from and go to.
    pipeline
        Stages and products.
    summary
        Files for all runs together, or None where the command makes none.
    resources
        Device, memory, threads, seed.
    reporter
        Tells the user.
    """

    def __init__(
        self, project: Project, pipeline: Pipeline, summary: Summary | None, resources: Resources, reporter: Reporter
    ) -> None:
        self.project = project
        self.pipeline = pipeline
        self.summary = summary
        self.resources = resources
        self.reporter = reporter
        self.manifest = self._read_manifest()
        self.news: list[str] = []

    def plan(self, overwrite: bool = False) -> list[PlannedRun]:
        """Open every tomogram and return what is to be done for each run; nothing is written.

        Raises
        ------
        CryoSiamError
            If a tomogram cannot be used, or products of somebody else are in the way.
        """
        planned = []
        for run in self.project.source.runs():
            tomogram = self.project.source.tomogram(run)
            prints = self.pipeline.fingerprints(self.project.run_input(tomogram))
            record = self.manifest.runs.get(run)
            plan = self.pipeline.plan(
                record.redone() if record and overwrite else record, self.project.scratch(run), prints
            )
            item = PlannedRun(tomogram, prints, plan)
            if not overwrite and not plan.is_empty:
                self._refuse_foreign(item)
            planned.append(item)
        busy = [item.tomogram.run for item in planned if not item.plan.is_empty]
        if busy:
            for sink in self.project.sinks:
                sink.check(busy, self.project.key)
        if self.summary is not None:
            self.summary.check([item.tomogram for item in planned])
        return planned

    def run(self, overwrite: bool = False) -> Outcome:
        """Do what there is to do, and record it.

        A tomogram that turns out to be unusable is left out with a warning; the others are done.

        Raises
        ------
        CryoSiamError
            If nothing can be done at all, or products cannot be written.
        """
        done: list[str] = []
        up_to_date: list[str] = []
        failed: dict[str, CryoSiamError] = {}
        with self._results_folder():
            self.manifest = self._read_manifest()
            planned = self.plan(overwrite)
            for stage in {stage.name: stage for item in planned for stage in item.plan.stages}.values():
                stage.prepare()
            for item in planned:
                run = item.tomogram.run
                if item.plan.is_empty:
                    self.reporter.note(f"{run}: up to date")
                    up_to_date.append(run)
                    continue
                try:
                    self._bring_up_to_date(item, overwrite)
                    done.append(run)
                except InputError as error:
                    failed[run] = error
                    self._forget_if_fruitless(run)
            self._summarise()
        return Outcome(tuple(done), tuple(up_to_date), failed)

    def _read_manifest(self) -> Manifest:
        manifest = load_manifest(self.project.out) or Manifest(source=self.project.source_name)
        if manifest.source != self.project.source_name:
            raise InputError(
                f"{self.project.out} holds results of {manifest.source}, not of {self.project.source_name}; "
                "give another --out"
            )
        return manifest

    def _refuse_foreign(self, item: PlannedRun) -> None:
        """Refuse to replace what somebody else wrote, or changed."""
        project, record = self.project, self.manifest.runs.get(item.tomogram.run)
        refuse_existing(item.tomogram.run, record, project.sinks, project.key, project.session)
        refuse_edited(record, item.plan.products, project.session, project.work_folder)

    @contextmanager
    def _results_folder(self) -> Iterator[None]:
        """Make and lock the results folder; leave no trace of it if nothing came of the work."""
        out = self.project.out
        made = not out.exists()
        with storage_errors("cannot write to"):
            (out / WORK_FOLDER).mkdir(parents=True, exist_ok=True)
        with folder_lock(out, out / WORK_FOLDER / "lock"):
            try:
                yield
            finally:
                if not (out / FILE_NAME).exists():
                    shutil.rmtree(out / WORK_FOLDER, ignore_errors=True)
                    if made and not any(out.iterdir()):
                        out.rmdir()

    def _bring_up_to_date(self, item: PlannedRun, overwrite: bool) -> None:
        run, scratch = item.tomogram.run, self.project.scratch(item.tomogram.run)
        record = self._start_record(item)
        # Stages that look at the input alone come before the locks: a tomogram that turns out to be unusable leaves
        # no trace in the project, not even a lock file.
        for stage in item.plan.stages:
            if not stage.reads:
                record = self._run_stage(stage, item, record, scratch)
        with ExitStack() as locks:
            for sink in self.project.sinks:
                locks.enter_context(sink.lock(run))
            # Only now is it sure that nobody else is at work on the run: what was there when the work was planned may
            # not be what is there now.
            if not overwrite:
                self._refuse_foreign(item)
            record = record.claimed_by(self.project.session)
            self._save(run, record)
            for stage in item.plan.stages:
                if stage.reads:
                    record = self._run_stage(stage, item, record, scratch)
            if not overwrite:
                refuse_edited(record, item.plan.products, self.project.session, self.project.work_folder)
            with self.reporter.stage(run, "write") as progress:
                for number, product in enumerate(item.plan.products):
                    progress(number, len(item.plan.products))
                    record = self._write_product(product, item, record, scratch)
        scratch.drop_maps()

    def _start_record(self, item: PlannedRun) -> RunRecord:
        tomogram, run = item.tomogram, item.tomogram.run
        old = self.manifest.runs.get(run)
        # What is about to be redone counts as not done from the start: whenever the work stops, the next call sees it.
        begun = {stage.name for stage in item.plan.stages}
        gone = {product.name for product in item.plan.products}
        if item.plan.renews and old:
            gone |= old.products.keys() - {item.name for item in self.pipeline.products if not item.superseded(old)}
        return RunRecord(
            input=InputRecord(
                location=tomogram.source,
                signature=self.project.source.signature(run),
                shape_zyx=tomogram.shape,
                voxel_size_angstrom=tomogram.voxel_size_angstrom,
                tomogram_type=tomogram.tomogram_type,
            ),
            written=old.written if old else {},
            stages={name: part for name, part in old.stages.items() if name not in begun} if old else {},
            products={name: part for name, part in old.products.items() if name not in gone} if old else {},
        )

    def _save(self, run: str, record: RunRecord) -> None:
        self.manifest = self.manifest.with_run(run, record)
        save_manifest(self.project.out, self.manifest)

    def _run_stage(self, stage: Stage, item: PlannedRun, record: RunRecord, scratch: Scratch) -> RunRecord:
        run = item.tomogram.run
        if run in self.manifest.runs and stage.name in self.manifest.runs[run].stages:
            # From here on its old result is no longer whole.
            record = record.with_stage(stage.name, None)
            self._save(run, record)
        with self.reporter.stage(run, stage.name) as progress:
            with measured() as cost, storage_errors():
                details = stage.run(
                    StageWork(
                        item.tomogram,
                        scratch,
                        self.resources,
                        progress,
                        lambda text: self.reporter.note(f"{run}: {text}"),
                        lambda text: self.reporter.warn(f"{run}: {text}"),
                    )
                )
            # Recorded before the user is told that it is done.
            record = record.with_stage(stage.name, self._stage_record(stage, item, details, cost))
            self._save(run, record)
        return record

    def _stage_record(self, stage: Stage, item: PlannedRun, details: dict[str, Any], cost: Measurement) -> StageRecord:
        used = stage.weights
        return StageRecord(
            fingerprint=item.prints.stages[stage.name],
            config=stage.config.model_dump(mode="json"),
            weights=WeightsRecord(name=used.name, sha256=used.sha256) if used else None,
            device=str(details.pop("device", "cpu")),
            precision=str(details.pop("precision", "float32")),
            seed=self.resources.seed,
            seconds=round(cost.seconds, 3),
            peak_memory_mib=round(cost.peak_memory_mib, 1),
            versions=versions(),
            finished=now(),
            details=details,
        )

    def _write_product(self, product: Product, item: PlannedRun, record: RunRecord, scratch: Scratch) -> RunRecord:
        run = item.tomogram.run
        with measured() as cost, storage_errors():
            locations = tuple(product.write(ProductWork(item.tomogram, scratch)))
        record = record.with_product(
            product.name,
            ProductRecord(
                fingerprint=item.prints.products[product.name],
                locations=locations,
                seconds=round(cost.seconds, 3),
                peak_memory_mib=round(cost.peak_memory_mib, 1),
                finished=now(),
            ),
            self.project.session,
        )
        self._save(run, record)
        return record

    def _forget_if_fruitless(self, run: str) -> None:
        """Remove what is known of a run that failed before any product of it was written."""
        record = self.manifest.runs.get(run)
        if record is not None and (record.products or any(record.written.values())):
            return
        shutil.rmtree(self.project.scratch(run).folder, ignore_errors=True)
        if record is not None:
            self.manifest = self.manifest.without_run(run)
            if self.manifest.runs:
                save_manifest(self.project.out, self.manifest)
            else:
                (self.project.out / FILE_NAME).unlink()

    def _summarise(self) -> None:
        if self.summary is None or not self.manifest.runs:
            return
        wanted, old = self.summary.fingerprint(self.manifest), self.manifest.summary
        if old and old.fingerprint == wanted and all(Path(place).exists() for place in old.locations):
            return
        with storage_errors():
            record = self.summary.write(self.manifest)
            # A species that is no longer picked leaves no file behind that looks like today's.
            for place in set(old.locations if old else ()) - set(record.locations):
                Path(place).unlink(missing_ok=True)
        self.manifest = self.manifest.model_copy(update={"summary": record})
        save_manifest(self.project.out, self.manifest)
        self.news.extend((*record.locations, *record.notes))
