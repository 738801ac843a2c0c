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
from cryosiam.pipeline.fingerprint import fingerprint
from cryosiam.pipeline.products import PickSelection, load_picks
from cryosiam.pipeline.storage import whole_file

if TYPE_CHECKING:
    from cryosiam.pipeline.manifest import Manifest, RunRecord
    from cryosiam.pipeline.runner import Project
    from cryosiam.ports import Sink
    from cryosiam.stages.scratch import Scratch

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
            sink.check([tomogram.run for tomogram in tomograms], self.project.key)
            for tomogram in tomograms:
                # A sink refuses a tomogram that does not fit when it is given picks: give it none.
                sink.write_picks(tomogram, _no_picks(tomogram.run), self.project.key)

    def fingerprint(self, manifest: Manifest) -> str:
        """Return what the files depend on."""
        runs = {run: _prints(record) for run, record in _complete(manifest)}
        return fingerprint(
            {
                "runs": runs,
                "selection": self.selection.facts(),
                "facts": dict(self.facts),
                "session": self.project.session,
                "sinks": [sink.capabilities.name for sink in self.sinks],
            }
        )

    def write(self, manifest: Manifest) -> list[str]:
        """Write them, each whole; return where they went and what was left out."""
        runs = [(run, record, self.project.scratch(run)) for run, record in _complete(manifest)]
        for run, record, scratch in runs:
            picks = self.selection.of(load_picks(run, scratch))
            for sink in self.sinks:
                sink.write_picks(_recorded_tomogram(run, record), picks, self.project.key)
        written = [line for sink in self.sinks for line in sink.finish(self.project.key)]
        embeddings = self.project.out / EMBEDDINGS_FILE
        if write_embeddings(embeddings, self._embedded(runs)):
            written.append(str(embeddings))
        return [_absolute(line) for line in written] + list(self.notes)

    def _embedded(
        self, runs: Sequence[tuple[str, RunRecord, Scratch]]
    ) -> Iterator[tuple[Picks, np.ndarray[tuple[int, int], np.dtype[np.float32]], str]]:
        for run, record, scratch in runs:
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


def _absolute(line: str) -> str:
    return str(Path(line).absolute()) if Path(line).exists() else line
