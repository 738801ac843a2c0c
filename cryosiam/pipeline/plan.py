"""What there is to do for a run: which products are out of date, and which stages must run to make them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cryosiam
from cryosiam.pipeline.fingerprint import fingerprint

if TYPE_CHECKING:
    from cryosiam.domain import Tomogram
    from cryosiam.pipeline.manifest import RunRecord
    from cryosiam.stages.scratch import Scratch
    from cryosiam.stages.stage import Stage


@dataclass(frozen=True)
class ProductWork:
    """A product about to be written.

    Parameters
    ----------
    tomogram
        The tomogram as the source gives it.
    scratch
        Where the stages' maps and tables are.
    """

    tomogram: Tomogram
    scratch: Scratch


@dataclass(frozen=True)
class Product:
    """Something a user gets from a run.

    Parameters
    ----------
    name
        Short name.
    reads
        Names of the maps and tables it is made from.
    write
        Writes it whole or not at all, and returns where it went.
    facts
        What its content depends on beside the stages, such as the session it is written to.
    """

    name: str
    reads: tuple[str, ...]
    write: Callable[[ProductWork], Sequence[str]]
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Fingerprints:
    """Fingerprint of each stage and of each product, by name."""

    stages: dict[str, str]
    products: dict[str, str]


@dataclass(frozen=True)
class RunPlan:
    """What is to be done for one run, in order."""

    stages: tuple[Stage, ...]
    products: tuple[Product, ...]

    @property
    def is_empty(self) -> bool:
        """True where everything is up to date."""
        return not self.products


@dataclass(frozen=True)
class Pipeline:
    """Stages in an order in which each finds what it reads, and the products wanted of them."""

    stages: tuple[Stage, ...]
    products: tuple[Product, ...]

    def fingerprints(self, run_input: Mapping[str, object]) -> Fingerprints:
        """Return the fingerprints that an up-to-date run has.

        Parameters
        ----------
        run_input
            What is known of the run's tomogram before it is read.
        """
        root = fingerprint({"input": dict(run_input), "cryosiam": cryosiam.__version__})
        maker: dict[str, str] = {}
        stages: dict[str, str] = {}
        for stage in self.stages:
            weights = stage.weights
            stages[stage.name] = fingerprint(
                {
                    "stage": stage.name,
                    "config": stage.config.model_dump(mode="json"),
                    "weights": weights.sha256 if weights else None,
                    "reads": [root, *(maker[name] for name in stage.reads)],
                }
            )
            maker.update(dict.fromkeys(stage.makes, stages[stage.name]))
        products = {
            product.name: fingerprint({"reads": [maker[name] for name in product.reads], "facts": dict(product.facts)})
            for product in self.products
        }
        return Fingerprints(stages, products)

    def plan(self, record: RunRecord | None, scratch: Scratch, prints: Fingerprints) -> RunPlan:
        """Return what is to be done, given what the manifest says and what lies in the scratch folder."""
        products = tuple(
            product for product in self.products if not _is_written(record, product.name, prints.products[product.name])
        )
        wanted = {name for product in products for name in product.reads}
        needed: list[Stage] = []
        for stage in reversed(self.stages):
            missing = [name for name in stage.makes if name in wanted and not scratch.has(name)]
            outdated = wanted.intersection(stage.makes) and not _is_current(record, stage.name, prints)
            if missing or outdated:
                needed.append(stage)
                wanted.update(stage.reads)
        return RunPlan(tuple(reversed(needed)), products)


def _is_current(record: RunRecord | None, stage: str, prints: Fingerprints) -> bool:
    done = record.stages.get(stage) if record else None
    return done is not None and done.fingerprint == prints.stages[stage]


def _is_written(record: RunRecord | None, product: str, wanted: str) -> bool:
    """Tell whether a product is up to date and still where it was written."""
    done = record.products.get(product) if record else None
    if done is None or done.fingerprint != wanted:
        return False
    return all(Path(place).exists() for place in done.locations if Path(place).is_absolute())
