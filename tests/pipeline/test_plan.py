"""Which stages and products a run needs, for any pipeline and any state it may be in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from cryosiam.pipeline.manifest import InputRecord, ProductRecord, RunRecord, StageRecord
from cryosiam.pipeline.plan import Pipeline, Product
from cryosiam.stages.scratch import Scratch
from cryosiam.stages.stage import StageWork, WeightsUsed


class Setting(BaseModel):
    model_config = ConfigDict(frozen=True)

    value: int = 0


@dataclass(frozen=True)
class Step:
    """A stage that does nothing; only its place in the pipeline matters here."""

    name: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    config: Setting = field(default_factory=Setting)
    weights: WeightsUsed | None = None

    def prepare(self) -> None:
        """Nothing is needed."""

    def run(self, work: StageWork) -> dict[str, Any]:
        return {}


def chain(*settings: int, weights: str = "w") -> Pipeline:
    """Return check -> dense -> instances -> classify, with a product of dense and one of classify."""
    a, b, c, d = (Setting(value=value) for value in (*settings, 0, 0, 0, 0)[:4])
    stages = (
        Step("check", (), ("checked",), a),
        Step("dense", ("checked",), ("maps",), b, WeightsUsed("net", weights)),
        Step("instances", ("maps",), ("labels", "particles"), c),
        Step("classify", ("particles",), ("picks",), d),
    )
    products = (
        Product("denoised", ("maps",), lambda work: []),
        Product("instances", ("labels",), lambda work: []),
        Product("picks", ("picks",), lambda work: []),
    )
    return Pipeline(stages, products)


INPUT = {"signature": "s"}


def done(pipeline: Pipeline, stages: set[str], products: set[str]) -> RunRecord:
    """Return the record of a run in which these stages and products are complete."""
    prints = pipeline.fingerprints(INPUT)
    common = {"seconds": 0.0, "peak_memory_mib": 0.0, "finished": "now"}
    stage = {"config": {}, "device": "cpu", "precision": "float32", "seed": 0, "versions": {}, **common}
    return RunRecord(
        input=InputRecord(
            location="x", signature="s", shape_zyx=(1, 1, 1), voxel_size_angstrom=10.0, tomogram_type="wbp"
        ),
        written={"cryosiam/1": {}},
        stages={n: StageRecord(fingerprint=prints.stages[n], **stage) for n in stages},
        products={n: ProductRecord(fingerprint=prints.products[n], locations=(), **common) for n in products},
    )


def fill(scratch: Scratch, *names: str) -> Scratch:
    for name in names:
        if name in ("maps", "labels"):
            scratch.create_map(name, (1, 1, 1), np.uint8)
        else:
            scratch.save_table(name, {"a": np.zeros(1)})
    return scratch


def names(pipeline: Pipeline, record: RunRecord | None, scratch: Scratch) -> tuple[list[str], list[str]]:
    plan = pipeline.plan(record, scratch, pipeline.fingerprints(INPUT))
    return [stage.name for stage in plan.stages], [product.name for product in plan.products]


ALL = ["check", "dense", "instances", "classify"]
PRODUCTS = ["denoised", "instances", "picks"]


def test_a_new_run_needs_everything(tmp_path: Path) -> None:
    assert names(chain(), None, Scratch(tmp_path)) == (ALL, PRODUCTS)


def test_a_finished_run_needs_nothing_though_its_maps_are_gone(tmp_path: Path) -> None:
    record = done(chain(), set(ALL), set(PRODUCTS))
    assert names(chain(), record, Scratch(tmp_path)) == ([], [])


@pytest.mark.parametrize(
    ("settings", "stages", "products"),
    [
        ((0, 0, 0, 1), ["classify"], ["picks"]),
        ((0, 0, 1, 0), ["dense", "instances", "classify"], ["instances", "picks"]),
        ((0, 1, 0, 0), ["dense", "instances", "classify"], PRODUCTS),
        ((1, 0, 0, 0), ALL, PRODUCTS),
    ],
)
def test_a_changed_setting_redoes_what_follows(
    tmp_path: Path, settings: tuple[int, ...], stages: list[str], products: list[str]
) -> None:
    record = done(chain(), set(ALL), set(PRODUCTS))
    scratch = fill(Scratch(tmp_path), "checked", "particles", "picks")
    assert names(chain(*settings), record, scratch) == (stages, products)


def test_changed_weights_redo_what_follows(tmp_path: Path) -> None:
    record = done(chain(), set(ALL), set(PRODUCTS))
    scratch = fill(Scratch(tmp_path), "checked", "particles", "picks")
    assert names(chain(weights="other"), record, scratch) == (ALL[1:], PRODUCTS)


def test_an_interrupted_run_goes_on_after_its_last_complete_stage(tmp_path: Path) -> None:
    record = done(chain(), {"check", "dense"}, set())
    # Labels lie there half-written: their stage is not in the record, so they do not count.
    scratch = fill(Scratch(tmp_path), "checked", "maps", "labels")
    assert names(chain(), record, scratch) == (["instances", "classify"], PRODUCTS)


def test_a_product_whose_file_is_gone_is_made_again(tmp_path: Path) -> None:
    record = done(chain(), set(ALL), set(PRODUCTS))
    lost = record.products["picks"].model_copy(update={"locations": (str(tmp_path / "gone.json"),)})
    scratch = fill(Scratch(tmp_path), "checked", "particles", "picks")
    assert names(chain(), record.with_product("picks", lost, "cryosiam/1"), scratch) == ([], ["picks"])


def test_what_was_made_of_a_table_is_made_again_with_it(tmp_path: Path) -> None:
    record = done(chain(), set(ALL), {"denoised", "picks"})
    scratch = fill(Scratch(tmp_path), "checked", "particles", "picks")
    assert names(chain(), record, scratch) == (ALL[1:], ["instances", "picks"])


def test_maps_made_again_leave_tables_alone(tmp_path: Path) -> None:
    record = done(chain(), set(ALL), {"instances", "picks"})
    scratch = fill(Scratch(tmp_path), "checked", "particles", "picks")
    assert names(chain(), record, scratch) == (["dense"], ["denoised"])


@given(
    complete=st.sets(st.sampled_from(ALL)),
    written=st.sets(st.sampled_from(PRODUCTS)),
    there=st.sets(st.sampled_from(["checked", "maps", "labels", "particles", "picks"])),
)
def test_whatever_the_state_each_stage_finds_what_it_reads(
    tmp_path_factory: pytest.TempPathFactory, complete: set[str], written: set[str], there: set[str]
) -> None:
    pipeline = chain()
    scratch = fill(Scratch(tmp_path_factory.mktemp("scratch")), *there)
    record = done(pipeline, complete, written)
    plan = pipeline.plan(record, scratch, pipeline.fingerprints(INPUT))
    assert {product.name for product in plan.products} >= set(PRODUCTS) - written
    made = {name: stage.name for stage in pipeline.stages for name in stage.makes}
    usable = {name for name in there if made[name] in complete}
    for stage in plan.stages:
        assert set(stage.reads) <= usable
        usable |= set(stage.makes)
    for product in plan.products:
        assert set(product.reads) <= usable
    remade = {stage.name for stage in plan.stages}
    if "instances" in remade and "particles" in there and "picks" in there:
        assert "classify" in remade
        assert {"instances", "picks"} <= {product.name for product in plan.products}
    if written == set(PRODUCTS):
        assert plan.is_empty
        assert plan.stages == ()
