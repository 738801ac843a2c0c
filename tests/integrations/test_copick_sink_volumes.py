"""Tomograms, segmentations and instances in copick projects; unmodified copick reads back what was written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from cryosiam.domain import (
    ArrayVolume,
    Contrast,
    Hand,
    MissingWedge,
)
from cryosiam.integrations.copick.library import logging_kept
from cryosiam.integrations.copick.source import CopickSource
from cryosiam.integrations.copick.zarr_writer import halved

from .copick_products import KEY, NAMES, label_volume, leftovers, opened, read_back


@pytest.mark.parametrize("shape", [(20, 30, 45), (7, 5, 3), (260, 6, 514)])
def test_tomogram(make_project: Callable[..., Any], shape: tuple[int, int, int]) -> None:
    project = make_project(shape=shape)
    tomogram, sink = opened(project)
    facts: dict[str, Any] = {
        "contrast": Contrast.DARK,
        "hand": Hand.INVERTED,
        "wedge": MissingWedge(-60, 52),
        "defocus_um": 4.5,
    }
    path = sink.write_tomogram(replace(tomogram, tomogram_type="denoised", **facts), KEY)
    with logging_kept():
        found = read_back(project).get_voxel_spacing(10.0).get_tomograms("denoised")[0]
        np.testing.assert_array_equal(found.numpy(), project.voxels)
        sizes = [tuple(-(-size // 2**level) for size in shape) for level in range(3)]
        assert [found.numpy(str(level)).shape for level in range(3)] == sizes
        even = tuple(slice(0, 2 * (size // 2)) for size in shape)
        means = project.voxels[even].reshape([n for size in shape for n in (size // 2, 2)]).mean((1, 3, 5))
        np.testing.assert_allclose(found.numpy("1")[tuple(slice(0, s // 2) for s in shape)], means, atol=1e-6)
    again = CopickSource(project.config_path, "denoised").tomogram("TS_01")
    assert again.source == path
    for name, value in facts.items():
        assert getattr(again, name) == value


def test_layout_is_copicks(make_project: Callable[..., Any]) -> None:
    project = make_project(shape=(64, 70, 258))
    tomogram, sink = opened(project)
    with logging_kept():
        theirs = project.open().get_run("TS_01").get_voxel_spacing(10.0).new_tomogram("theirs")
        theirs.from_numpy(project.voxels, levels=3)
    sink.write_tomogram(replace(tomogram, tomogram_type="ours"), KEY)
    folder = project.zattrs().parent.parent
    files = [
        {str(path.relative_to(folder / name)): path for path in (folder / name).rglob("*") if path.is_file()}
        for name in ("theirs.zarr", "ours.zarr")
    ]
    assert set(files[0]) == set(files[1])
    for name in files[0]:
        if name.endswith((".zarray", ".zgroup")):
            assert json.loads(files[0][name].read_text()) == json.loads(files[1][name].read_text())
    attributes = json.loads(files[1][".zattrs"].read_text())
    assert attributes.pop("cryosiam")
    assert attributes == json.loads(files[0][".zattrs"].read_text())
    even = zarr.open(str(folder / "ours.zarr"))["2"][:, :17]
    np.testing.assert_allclose(even[:, :, :64], zarr.open(str(folder / "theirs.zarr"))["2"][:, :17, :64], atol=1e-6)


@given(arrays(np.float32, st.tuples(*[st.integers(1, 7)] * 3), elements=st.floats(-1e3, 1e3, width=32)))
def test_halving_keeps_the_range_and_rounds_sizes_up(block: NDArray[np.float32]) -> None:
    small = halved(block)
    assert small.shape == tuple(-(-size // 2) for size in block.shape)
    assert small.min() >= block.min()
    assert small.max() <= block.max()
    assert small[0, 0, 0] == pytest.approx(block[:2, :2, :2].mean(dtype=np.float64), abs=1e-3)


def test_segmentation_holds_the_projects_labels(project: Any) -> None:
    tomogram, sink = opened(project)
    labels = label_volume(tomogram.shape, 5)
    sink.write_segmentation(tomogram, ArrayVolume(labels), NAMES, KEY)
    with logging_kept():
        run = read_back(project)
        (found,) = run.get_segmentations(is_multilabel=True, user_id="cryosiam", session_id="7", voxel_size=10.0)
        stored = found.numpy()
        assert stored.dtype == np.uint8
        for value, name in NAMES.items():
            wanted = run.root.get_object(name).label if value else 0
            np.testing.assert_array_equal(stored == wanted, labels == value)


@pytest.mark.parametrize(("largest", "dtype"), [(9, np.uint16), (70000, np.uint32)])
def test_instances(project: Any, largest: int, dtype: type) -> None:
    tomogram, sink = opened(project)
    labels = label_volume(tomogram.shape, largest)
    sink.write_instances(tomogram, ArrayVolume(labels), "particle", KEY)
    with logging_kept():
        (found,) = read_back(project).get_segmentations(is_instance=True, name="particle")
        assert found.numpy().dtype == dtype
        np.testing.assert_array_equal(found.numpy(), labels)


def test_label_without_a_name_is_a_mistake_of_ours(project: Any) -> None:
    tomogram, sink = opened(project)
    with pytest.raises(ValueError, match="not among those"):
        sink.write_segmentation(tomogram, ArrayVolume(np.full(tomogram.shape, 9)), NAMES, KEY)
    with pytest.raises(ValueError, match="whole numbers"):
        sink.write_instances(tomogram, ArrayVolume(np.full(tomogram.shape, 0.5)), "particle", KEY)
    assert sink.existing("TS_01", KEY) == []
    assert leftovers(project) == []


def test_new_run_for_a_reconstruction(project: Any) -> None:
    tomogram, sink = opened(project)
    sink.write_tomogram(replace(tomogram, run="TS_02", voxel_size_angstrom=13.48), KEY)
    found = CopickSource(project.config_path, runs=["TS_02"]).tomogram("TS_02")
    assert found.voxel_size_angstrom == 13.48
    with logging_kept():
        assert [r.name for r in project.open().runs] == ["TS_01", "TS_02"]


def test_products_lie_in_the_folder_of_their_tomogram(project: Any) -> None:
    project.edit_scale([10.012444] * 3)
    tomogram, sink = opened(project)
    sink.write_segmentation(tomogram, ArrayVolume(np.zeros(tomogram.shape)), NAMES, KEY)
    with logging_kept():
        assert len(read_back(project).get_segmentations(voxel_size=10.0, user_id="cryosiam")) == 1


def test_own_denoised_tomogram_is_no_second_input(project: Any) -> None:
    tomogram, sink = opened(project)
    sink.write_tomogram(replace(tomogram, tomogram_type="denoised"), KEY)
    for wanted in (None, "@10.0", "*@10.0", "*"):
        assert CopickSource(project.config_path, tomogram=wanted).tomogram("TS_01").tomogram_type == "wbp"
    assert CopickSource(project.config_path, tomogram="denoised@10.0").tomogram("TS_01").tomogram_type == "denoised"
    assert CopickSource(project.config_path, tomogram="deno*").tomogram("TS_01").tomogram_type == "denoised"
