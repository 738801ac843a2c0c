"""What a call leaves alone, what it claims and what it redoes, with stages that count instead of computing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from pydantic import BaseModel

from cryosiam.domain import ArrayVolume, Tomogram
from cryosiam.errors import ProductExistsError, ProjectLockedError
from cryosiam.pipeline.plan import Pipeline, Product, ProductWork
from cryosiam.pipeline.progress import QuietReporter
from cryosiam.pipeline.runner import Project, Runner
from cryosiam.ports import Capabilities, ProductKey
from cryosiam.stages.stage import Resources, StageWork, WeightsUsed

NUMBERS = count()


class Nothing(BaseModel):
    """No settings."""


@dataclass(frozen=True)
class Counting:
    """A stage whose tables hold a number that no other run of it gives."""

    name: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    weights: WeightsUsed | None = None
    before: Callable[[], None] = lambda: None
    config: Nothing = field(default_factory=Nothing)

    def prepare(self) -> None:
        """Nothing is needed."""

    def run(self, work: StageWork) -> dict[str, Any]:
        self.before()
        for name in self.makes:
            if name in ("maps", "labels"):
                work.scratch.create_map(name, (1, 1, 1), np.uint8)
            else:
                work.scratch.save_table(name, {"number": np.array(next(NUMBERS))})
        return {}


class Runs:
    """A source of tiny tomograms."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def runs(self) -> list[str]:
        return list(self.names)

    def tomogram(self, run: str) -> Tomogram:
        return Tomogram(run, ArrayVolume(np.zeros((1, 1, 1), np.float32)), 10.0, "wbp", run)

    def signature(self, run: str) -> str:
        return run


class Shared:
    """A sink into a folder that several results folders write to."""

    capabilities = Capabilities("shared", "", accepts=frozenset({"picks"}))

    def __init__(self, folder: Path, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.folder = folder
        self.meanwhile = meanwhile

    def existing(self, run: str, key: ProductKey) -> list[str]:
        return sorted(path.name for path in self.folder.glob(f"{run}-{key.session_id}-*"))

    def check(self, runs: Sequence[str], key: ProductKey) -> None:
        """Everything can be written."""

    @contextmanager
    def lock(self, run: str) -> Iterator[None]:
        self.meanwhile()
        yield


class Place:
    """A project folder, and how commands on it are given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        self.root = folder

    def runner(
        self,
        out: str = "out",
        session: str = "1",
        weights: str = "w",
        meanwhile: Callable[[], None] = lambda: None,
        in_embed: Callable[[], None] = lambda: None,
        runs: tuple[str, ...] = ("TS_01",),
    ) -> Runner:
        def write(name: str) -> Callable[[ProductWork], list[str]]:
            def writer(work: ProductWork) -> list[str]:
                path = self.folder / f"{work.tomogram.run}-{session}-{name}"
                path.write_text(str(work.scratch.table(name)["number"]))
                return [str(path)]

            return writer

        def tables(work: ProductWork) -> list[str]:
            return [str(work.scratch.table_path(name).absolute()) for name in ("particles", "embeddings")]

        net = WeightsUsed("net", weights)
        stages = (
            Counting("check", (), ("checked",)),
            Counting("dense", ("checked",), ("maps",), net),
            Counting("instances", ("maps",), ("labels", "particles")),
            Counting("embed", ("particles",), ("embeddings",), before=in_embed),
            Counting("classify", ("particles", "embeddings"), ("picks",)),
        )
        facts = {"session": session}
        products = (
            Product("instances", ("labels", "particles"), write("particles"), facts),
            Product("picks", ("picks",), write("picks"), facts),
            Product("embeddings", ("particles", "embeddings"), tables),
        )
        sinks = (Shared(self.folder, meanwhile),)
        project = Project(
            cast("Any", Runs(*runs)), "test", cast("Any", sinks), ProductKey("me", session), self.root / out
        )
        return Runner(project, Pipeline(stages, products), None, Resources(), QuietReporter())

    def contents(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.folder.iterdir()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def locked() -> None:
    raise ProjectLockedError("somebody is at work")


def test_a_call_that_met_a_lock_claims_nothing(place: Place) -> None:
    with pytest.raises(ProjectLockedError):
        place.runner("other", meanwhile=locked).run()
    place.runner().run()
    (place.folder / "TS_01-1-picks").write_text("sorted by hand")
    before = place.contents()
    with pytest.raises(ProductExistsError, match="already"):
        place.runner("other").run()
    assert place.contents() == before


def test_products_that_appear_after_planning_are_kept(place: Place) -> None:
    def somebody() -> None:
        (place.folder / "TS_01-1-picks").write_text("theirs")

    with pytest.raises(ProductExistsError, match="already"):
        place.runner(meanwhile=somebody).run()
    assert place.contents() == {"TS_01-1-picks": "theirs"}
    assert place.runner(meanwhile=somebody).run(overwrite=True).done == ("TS_01",)
    assert place.contents()["TS_01-1-picks"] != "theirs"


def test_picks_edited_during_the_work_are_kept(place: Place) -> None:
    place.runner().run()

    def edit() -> None:
        (place.folder / "TS_01-1-picks").write_text("sorted by hand")

    with pytest.raises(ProductExistsError, match="was changed"):
        place.runner(weights="new", in_embed=edit).run()
    assert place.contents()["TS_01-1-picks"] == "sorted by hand"


def stop() -> None:
    raise KeyboardInterrupt


def test_a_stopped_redo_is_known_to_be_unfinished(place: Place) -> None:
    place.runner(runs=("TS_01", "TS_02")).run()
    with pytest.raises(KeyboardInterrupt):
        place.runner(weights="new", in_embed=stop, runs=("TS_01",)).run()
    # Files of all runs take a run whose products are complete, and read its stages' records.
    records = place.runner(weights="new", runs=("TS_02",)).manifest.runs
    assert not records["TS_01"].products
    assert set(records["TS_01"].stages) == {"check", "dense", "instances"}
    assert "embeddings" in records["TS_02"].products
    place.runner(weights="new").run()
    assert set(place.runner().manifest.runs["TS_01"].products) == {"instances", "picks", "embeddings"}


def test_a_second_session_redoes_the_tables_of_what_it_redoes(place: Place) -> None:
    place.runner().run()
    old = place.contents()
    place.runner(session="2").run()
    scratch = place.runner().project.scratch("TS_01")
    number = {name: int(scratch.table(name)["number"]) for name in ("particles", "embeddings", "picks")}
    assert number["particles"] < number["embeddings"] < number["picks"]
    assert place.contents() == {
        **old,
        "TS_01-2-particles": str(number["particles"]),
        "TS_01-2-picks": str(number["picks"]),
    }
