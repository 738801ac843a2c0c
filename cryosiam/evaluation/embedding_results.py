"""Identification: embeddings named by the particles they hit, and told apart by two classifiers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.errors import InputError
from cryosiam.evaluation.identification import knn_f1, mlp_f1
from cryosiam.evaluation.label_results import instance_volumes_angstrom3
from cryosiam.evaluation.picks import match_positions
from cryosiam.evaluation.project import AnnotatedProject, LeftOutError, Request
from cryosiam.evaluation.results import IdentificationResult, SpeciesIdentification

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from cryosiam.evaluation.pick_results import ComparedPicks

ANGSTROM3_PER_DALTON: Final = 1.23
"""Volume of protein of 1.35 g/cm³."""

_ESTIMATED: Final = (
    f"median volume of the true instances over {ANGSTROM3_PER_DALTON} Å³ per dalton, where the project states none"
)
_COLUMNS: Final = ("run", "x_angstrom", "y_angstrom", "z_angstrom", "embedding")
_FEWEST: Final = 2
"""A species with fewer particles cannot be both learnt and asked for."""


@dataclass(frozen=True)
class EmbeddingTable:
    """Embeddings of the particles of several runs.

    Parameters
    ----------
    runs
        ``(n,)`` names.
    positions_angstrom
        ``(n, 3)`` positions (x, y, z) in Å.
    vectors
        ``(n, d)`` float32.
    """

    runs: NDArray[np.str_]
    positions_angstrom: NDArray[np.float64]
    vectors: NDArray[np.float32]


def read_embeddings(path: Path) -> EmbeddingTable:
    """Read what ``cryosiam embed`` and ``cryosiam pick`` write as ``embeddings.parquet``.

    Raises
    ------
    InputError
        If the file is no such table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=list(_COLUMNS))
        places = np.stack([table[name].to_numpy() for name in _COLUMNS[1:4]], axis=1).astype(np.float64)
        column = table["embedding"].combine_chunks()
        vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1).astype(np.float32)
        runs = np.array(table["run"].to_pylist(), dtype=str)
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} holds no embeddings of cryosiam ({reason}); give the embeddings.parquet") from error
    return EmbeddingTable(runs, places, vectors)


def identification_result(
    project: AnnotatedProject, request: Request, compared: ComparedPicks, note: Callable[[str], None]
) -> IdentificationResult:
    """Name each embedding by the particle that its pick hits, and tell the species apart.

    Raises
    ------
    LeftOutError
        If there are no embeddings, or they hit fewer than two species.
    InputError
        If the file cannot be used.
    """
    if request.embeddings is None:
        raise LeftOutError("there is no embeddings.parquet; name it with --embeddings")
    table = read_embeddings(request.embeddings)
    named = _named(table, compared, request.hit_fraction)
    names, counts = np.unique(named, return_counts=True)
    usable = [str(name) for name, count in zip(names, counts, strict=True) if name and count >= _FEWEST]
    if len(usable) < 2:
        raise LeftOutError(
            f"the picks of {request.embeddings} hit {len(usable)} species of the truth, and two or more are needed"
        )
    kept = np.isin(named, usable)
    vectors, labels, runs = table.vectors[kept], named[kept].tolist(), table.runs[kept].tolist()
    note(f"{len(labels)} embeddings: nearest neighbour")
    knn = knn_f1(vectors, labels, runs)
    note(f"{len(labels)} embeddings: network")
    mlp = mlp_f1(vectors, labels, runs)
    stated = project.masses_kda()
    all_stated = set(usable) <= set(stated)
    masses = stated if all_stated else {**_masses_kda(project, request), **stated}
    species = {
        name: SpeciesIdentification(
            particles=int(count), mass_kda=masses.get(name), knn_f1=float(near), mlp_f1=float(network)
        )
        for name, count, near, network in zip(knn.names, knn.count, knn.f1, mlp.f1, strict=True)
    }
    return IdentificationResult(
        embeddings=str(request.embeddings),
        particles=len(labels),
        species=species,
        mean_knn_f1=knn.mean,
        mean_mlp_f1=mlp.mean,
        mass_is="stated by the project" if all_stated else _ESTIMATED,
    )


def _named(table: EmbeddingTable, compared: ComparedPicks, hit_fraction: float) -> NDArray[np.str_]:
    """Return the species that each embedding's pick hits; empty where it hits none."""
    longest = max(len(name) for name in compared.radii_angstrom)
    result = np.zeros(len(table.runs), dtype=f"<U{longest}")
    for run, (_, truth) in compared.runs.items():
        rows = np.flatnonzero(table.runs == run)
        reach = np.array([hit_fraction * compared.radii_angstrom[name] for name in truth.class_names])
        matching = match_positions(table.positions_angstrom[rows], truth.positions_angstrom, reach)
        result[rows[matching.pick_index]] = np.array(truth.class_names, dtype=str)[matching.truth_index]
    return result


def _masses_kda(project: AnnotatedProject, request: Request) -> Mapping[str, float]:
    """Estimate the mass of each species from the volume of its true instances, those cut by the border too."""
    volumes: dict[str, list[float]] = {}
    for run in project.runs():
        truth = project.picks(run, request.truth)
        for segmentation in project.instances(run, request.truth)[:1]:
            of_instance = instance_volumes_angstrom3(segmentation)
            for name, instance in zip(truth.class_names, truth.instance_ids.tolist(), strict=True):
                if instance in of_instance:
                    volumes.setdefault(name, []).append(of_instance[instance])
    return {name: float(np.median(each)) / ANGSTROM3_PER_DALTON / 1e3 for name, each in volumes.items()}
