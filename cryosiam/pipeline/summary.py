"""Files that hold all runs together: STAR files and embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cryosiam.domain import ArrayVolume, Picks, Tomogram
from cryosiam.errors import InputError
from cryosiam.pipeline.fingerprint import fingerprint
from cryosiam.pipeline.manifest import SummaryRecord, now
from cryosiam.pipeline.products import PickSelection, load_picks
from cryosiam.pipeline.storage import whole_file

if TYPE_CHECKING:
    from cryosiam.pipeline.manifest import Manifest, RunRecord
    from cryosiam.pipeline.runner import Project
    from cryosiam.ports import Sink

EMBEDDINGS_FILE = "embeddings.parquet"


@dataclass(frozen=True)
class TableSummary:
    """STAR files and embeddings of every run that the manifest knows to be complete.

    Parameters
    ----------
    project
        Where things are.
    sinks
        Take the picks of all runs.
    selection
        Which picks are written.
    facts
        Options of the sinks that change what is written.
    notes
        What is not written, and why.
    """

    project: Project
    sinks: tuple[Sink, ...] = ()
    selection: PickSelection = field(default_factory=PickSelection)
    facts: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def check(self, tomograms: Sequence[Tomogram]) -> None:
        """Find out before the work whether the files can be written.

        Raises
        ------
        CryoSiamError
            If a sink cannot take these runs.
        """
        for sink in self.sinks:
            for tomogram in tomograms:
                self._offer(sink, tomogram)

    def fingerprint(self, manifest: Manifest) -> str:
        """Return what the files depend on."""
        runs = self._runs(manifest)
        return fingerprint(
            {
                "runs": {run: _prints(record) for run, record in runs.items()},
                "selection": self.selection.facts(),
                "facts": dict(self.facts),
                "session": self.project.session,
                "sinks": {sink.capabilities.name: sorted(self._refused(sink, runs)) for sink in self.sinks},
            }
        )

    def write(self, manifest: Manifest) -> SummaryRecord:
        """Write them, each whole; return where they went and what was left out."""
        runs = self._runs(manifest)
        picks = {run: self.selection.of(load_picks(run, self.project.scratch(run))) for run in runs}
        lines = [
            f"{run} is left out because its tomogram {record.input.location} is no longer there"
            for run, record in self._gone(manifest).items()
        ]
        for sink in self.sinks:
            refused = self._refused(sink, runs)
            for run, reason in refused.items():
                lines.append(f"{run} of an earlier call is not in the file for {sink.capabilities.name}: {reason}")
            for run in runs.keys() - refused.keys():
                sink.write_picks(_recorded_tomogram(run, runs[run]), picks[run], self.project.key)
            lines.extend(sink.finish(self.project.key))
        embeddings = self.project.out / EMBEDDINGS_FILE
        if write_embeddings(embeddings, self._embedded(runs)):
            lines.append(str(embeddings))
        files = [line for line in lines if Path(line).exists()]
        return SummaryRecord(
            fingerprint=self.fingerprint(manifest),
            finished=now(),
            locations=tuple(str(Path(line).absolute()) for line in files),
            notes=(*(line for line in lines if line not in files), *self.notes),
        )

    def _runs(self, manifest: Manifest) -> dict[str, RunRecord]:
        """Return the complete runs whose tomogram is still there."""
        gone = self._gone(manifest)
        return {run: record for run, record in _complete(manifest) if run not in gone}

    def _gone(self, manifest: Manifest) -> dict[str, RunRecord]:
        """Return the runs of earlier calls whose tomogram was removed.

        Where the tomograms of this call are no local files, nothing is known of the others.
        """
        present = {run for run in self.project.source.runs() if run in manifest.runs}
        if not any(Path(manifest.runs[run].input.location).exists() for run in present):
            return {}
        others = {run: record for run, record in _complete(manifest) if run not in present}
        return {run: record for run, record in others.items() if not Path(record.input.location).exists()}

    def _refused(self, sink: Sink, runs: Mapping[str, RunRecord]) -> dict[str, str]:
        """Return the runs that ``sink`` cannot take, each with the reason; those of this call were checked before."""
        refused = {}
        for run, record in runs.items():
            try:
                self._offer(sink, _recorded_tomogram(run, record))
            except InputError as error:
                refused[run] = str(error)
        return refused

    def _offer(self, sink: Sink, tomogram: Tomogram) -> None:
        """Raise what the sink raises for a tomogram; one that does not fit is refused with picks: give it none."""
        sink.check([tomogram.run], self.project.key)
        sink.write_picks(tomogram, _no_picks(tomogram.run), self.project.key)

    def _embedded(
        self, runs: Mapping[str, RunRecord]
    ) -> Iterator[tuple[Picks, np.ndarray[tuple[int, int], np.dtype[np.float32]], str]]:
        for run, record in runs.items():
            scratch = self.project.scratch(run)
            picks = self.selection.of(load_picks(run, scratch))
            vectors = scratch.table("embeddings")["vectors"].astype(np.float32)
            used = record.stages["embed"].weights
            yield picks, vectors[picks.instance_ids - 1], used.sha256 if used else ""


def write_embeddings(
    path: Path, runs: Iterator[tuple[Picks, np.ndarray[tuple[int, int], np.dtype[np.float32]], str]]
) -> bool:
    """Write one row per pick, keyed by ``run`` and ``pick``, as Parquet; a row group per run.

    Parameters
    ----------
    path
        The file.
    runs
        Picks of each run, their vectors ``(n, d)`` float32 and the digest of the weights that made them.

    Returns
    -------
    bool
        False, and no file, where there are no runs.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = next(runs, None)
    if first is None:
        path.unlink(missing_ok=True)
        return False
    with whole_file(path) as temporary, ExitStack() as opened:
        writer: pq.ParquetWriter | None = None
        for picks, vectors, weights in chain([first], runs):
            dimensions = vectors.shape[1]
            x, y, z = picks.positions_angstrom.T
            count = len(picks)
            embedding = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), pa.float32()), dimensions)
            table = pa.table(
                {
                    "run": pa.array([picks.run] * count, pa.string()),
                    "pick": pa.array(np.arange(count), pa.int64()),
                    "class": pa.array(picks.class_names, pa.string()),
                    "score": pa.array(picks.scores, pa.float64()),
                    "x_angstrom": pa.array(x, pa.float64()),
                    "y_angstrom": pa.array(y, pa.float64()),
                    "z_angstrom": pa.array(z, pa.float64()),
                    "instance_id": pa.array(picks.instance_ids, pa.int64()),
                    "embedding": embedding,
                    "weights_sha256": pa.array([weights] * count, pa.string()),
                }
            )
            if writer is None:
                writer = opened.enter_context(pq.ParquetWriter(temporary, table.schema, compression="zstd"))
            writer.write_table(table)
        opened.close()
    return True


def _complete(manifest: Manifest) -> list[tuple[str, RunRecord]]:
    return [(run, record) for run, record in sorted(manifest.runs.items()) if "embeddings" in record.products]


def _prints(record: RunRecord) -> list[str]:
    return [record.products[name].fingerprint for name in ("embeddings", "classes") if name in record.products]


def _recorded_tomogram(run: str, record: RunRecord) -> Tomogram:
    """Return the tomogram as the manifest has it; its voxels may be gone and are not needed."""
    known = record.input
    return Tomogram(
        run=run,
        volume=ArrayVolume(np.broadcast_to(np.zeros(1, np.float32), known.shape_zyx)),
        voxel_size_angstrom=known.voxel_size_angstrom,
        tomogram_type=known.tomogram_type,
        source=known.location,
    )


def _no_picks(run: str) -> Picks:
    return Picks(run, np.zeros((0, 3)), np.zeros(0), ())
