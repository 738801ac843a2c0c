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
    superseded
        Tells whether a run has something better in its place, so that it is not written.
    """

    name: str
    reads: tuple[str, ...]
    write: Callable[[ProductWork], Sequence[str]]
    facts: Mapping[str, object] = field(default_factory=dict)
    superseded: Callable[[RunRecord], bool] = lambda record: False


@dataclass(frozen=True)
class Fingerprints:
    """Fingerprint of each stage and of each product, by name."""

    stages: dict[str, str]
    products: dict[str, str]


@dataclass(frozen=True)
class RunPlan:
    """What is to be done for one run, in order.

    Parameters
    ----------
    stages, products
        Those to run and to write.
    renews
        True where a table that was kept is made anew, so that nothing made of the old one fits any more.
    """

    stages: tuple[Stage, ...]
    products: tuple[Product, ...]
    renews: bool = False

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
        possible = [item for item in self.products if record is None or not item.superseded(record)]
        products = tuple(
            product for product in possible if not _is_written(record, product.name, prints.products[product.name])
        )
        needed: set[str] = set()
        renewed: set[str] = set()
        while True:
            known = len(needed)
            wanted = {name for product in products for name in product.reads}
            for stage in reversed(self.stages):
                missing = [name for name in stage.makes if name in wanted and not scratch.has(name)]
                outdated = wanted.intersection(stage.makes) and not _is_current(record, stage.name, prints)
                if missing or outdated or stage.name in needed:
                    needed.add(stage.name)
                    wanted.update(stage.reads)
            needed |= self._followers(needed, scratch)
            renewed = self._renewed(needed, scratch)
            products = tuple(item for item in possible if item in products or renewed.intersection(item.reads))
            if len(needed) == known:
                break
        return RunPlan(tuple(stage for stage in self.stages if stage.name in needed), products, bool(renewed))

    def _renewed(self, needed: set[str], scratch: Scratch) -> set[str]:
        """Return what is made again while something made of the old may be left.

        Made again on another device, a stage may number its particles differently. Maps do not outlive a call, but
        tables do, and with them the numbers.
        """
        stages = [stage for stage in self.stages if stage.name in needed]
        return {name for stage in stages if _keeps_table(stage, scratch) for name in stage.makes}

    def _followers(self, needed: set[str], scratch: Scratch) -> set[str]:
        """Return the stages with tables made of what is made again."""
        renewed = self._renewed(needed, scratch)
        return {
            stage.name for stage in self.stages if renewed.intersection(stage.reads) and _keeps_table(stage, scratch)
        }


def _keeps_table(stage: Stage, scratch: Scratch) -> bool:
    return any(scratch.table_path(name).exists() for name in stage.makes)


def _is_current(record: RunRecord | None, stage: str, prints: Fingerprints) -> bool:
    done = record.stages.get(stage) if record else None
    return done is not None and done.fingerprint == prints.stages[stage]


def _is_written(record: RunRecord | None, product: str, wanted: str) -> bool:
    """Tell whether a product is up to date and still where it was written."""
    done = record.products.get(product) if record else None
    if done is None or done.fingerprint != wanted:
        return False
    return all(Path(place).exists() for place in done.locations if Path(place).is_absolute())
