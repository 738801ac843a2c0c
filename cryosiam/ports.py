"""Ports: what the pipeline asks of the outside world. Adapters implement them and are found by entry point."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from cryosiam.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryosiam.domain import Picks, Tomogram
    from cryosiam.domain.tomogram import Volume

SOURCE_GROUP = "cryosiam.sources"
SINK_GROUP = "cryosiam.sinks"


@dataclass(frozen=True)
class Capabilities:
    """What an adapter can do, in words `cryosiam adapters` prints.

    Parameters
    ----------
    name, summary
        Short name and one line of description.
    provides
        Of a source: any of ``tomograms``, ``tilt-series``, ``annotations``.
    accepts
        Of a sink: any of ``tomograms``, ``segmentations``, ``instances``, ``picks``, ``scores``, ``classes``,
        ``orientations``.
    """

    name: str
    summary: str
    provides: frozenset[str] = frozenset()
    accepts: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ProductKey:
    """Name under which products of one pipeline session are written.

    Parameters
    ----------
    user_id, session_id
        As in copick: who made it, and in which attempt.
    """

    user_id: str
    session_id: str


@runtime_checkable
class Source(Protocol):
    """Gives runs and their tomograms."""

    capabilities: Capabilities

    def runs(self) -> Sequence[str]:
        """Return the names of all runs, in order."""
        ...

    def tomogram(self, run: str) -> Tomogram:
        """Return the tomogram of ``run`` that the user's options select.

        Raises
        ------
        InputError
            If there is none, more than one, or it cannot be used.
        """
        ...

    def signature(self, run: str) -> str:
        """Return a short text that changes when the input of ``run`` changes (sizes and times, not content)."""
        ...

    def particle_names(self) -> Sequence[str] | None:
        """Return the particles the project asks for, or None where the source has no such list."""
        ...

    def reference_picks(self, run: str) -> Picks | None:
        """Return annotations made by others, or None where there are none."""
        ...


@dataclass(frozen=True)
class HandBack:
    """How particles go back to the program whose project the tomograms are from.

    Parameters
    ----------
    sink
        Name of the adapter that writes them.
    project_root
        Folder that the program runs in: paths in its files are relative to it.
    """

    sink: str
    project_root: Path | None = None


@runtime_checkable
class ProjectSource(Source, Protocol):
    """A source that is the project of a program that takes particles."""

    hand_back: HandBack


@runtime_checkable
class Sink(Protocol):
    """Takes products. Each ``write_*`` is atomic: the product is whole, or it is not there.

    Volumes arrive as a lazy `Volume`; a sink reads them slab by slab and never holds them whole.
    """

    capabilities: Capabilities

    def existing(self, run: str, key: ProductKey) -> list[str]:
        """Return the names of products of ``run`` already there under ``key``."""
        ...

    def check(self, runs: Sequence[str], key: ProductKey) -> None:
        """Raise a `CryoSiamError` if writing is bound to fail (read-only, missing facts); called before work."""
        ...

    def write_tomogram(self, tomogram: Tomogram, key: ProductKey) -> str:
        """Write a volume such as the denoised tomogram; return where it went."""
        ...

    def write_segmentation(self, tomogram: Tomogram, labels: Volume, names: dict[int, str], key: ProductKey) -> str:
        """Write the multilabel segmentation on the tomogram's grid; return where it went."""
        ...

    def write_instances(self, tomogram: Tomogram, labels: Volume, name: str, key: ProductKey) -> str:
        """Write the instance segmentation of objects ``name``; return where it went."""
        ...

    def write_picks(self, tomogram: Tomogram, picks: Picks, key: ProductKey) -> list[str]:
        """Write the picks of one run, one set per class; return where they went."""
        ...

    def finish(self, key: ProductKey) -> list[str]:
        """Write what needs all runs together (a STAR file); return where it went and what was left out."""
        ...

    def lock(self, run: str) -> AbstractContextManager[None]:
        """Hold ``run`` for this process; raise `ProjectLockedError` when another holds it."""
        ...


@dataclass(frozen=True)
class Adapter:
    """An installed adapter.

    Parameters
    ----------
    name
        Entry point name.
    kind
        ``"source"`` or ``"sink"``.
    distribution
        Name and version of the distribution that brings it.
    cls
        The adapter's class; its ``capabilities`` are readable without an instance.
    """

    name: str
    kind: str
    distribution: str
    cls: Any


def installed_adapters() -> list[Adapter]:
    """Return every adapter that an installed distribution announces, sources first."""
    found = []
    for kind, group in (("source", SOURCE_GROUP), ("sink", SINK_GROUP)):
        for point in sorted(entry_points(group=group), key=lambda p: p.name):
            dist = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"
            found.append(Adapter(point.name, kind, dist, point.load()))
    return found


def adapter_class(kind: str, name: str) -> Any:
    """Return the class of the adapter ``name`` of ``kind`` (``"source"`` or ``"sink"``).

    Raises
    ------
    InputError
        If no installed distribution announces it.
    """
    group = SOURCE_GROUP if kind == "source" else SINK_GROUP
    points = {point.name: point for point in entry_points(group=group)}
    if name not in points:
        raise InputError(f"no {kind} adapter named '{name}' is installed; there are: {', '.join(sorted(points))}")
    return points[name].load()
