"""Writing into copick projects; unmodified copick reads back what was written."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from cryosiam.domain import (
    SEMANTIC_CLASSES,
    ArrayVolume,
    Contrast,
    Hand,
    MissingWedge,
    Picks,
    Tomogram,
)
from cryosiam.domain.tomogram import Box
from cryosiam.errors import InputError, ProductExistsError, ProjectLockedError, StorageError
from cryosiam.integrations.copick.library import logging_kept
from cryosiam.integrations.copick.sink import CopickSink
from cryosiam.integrations.copick.source import CopickSource
from cryosiam.integrations.copick.zarr_writer import halved
from cryosiam.ports import ProductKey, Sink

KEY = ProductKey("cryosiam", "7")
NAMES = dict(enumerate(SEMANTIC_CLASSES))


def opened(project: Any) -> tuple[Tomogram, CopickSink]:
    return CopickSource(project.config_path).tomogram("TS_01"), CopickSink(project.config_path)


def label_volume(shape: tuple[int, int, int], largest: int) -> NDArray[np.int64]:
    labels = np.random.default_rng(1).integers(0, largest + 1, shape)
    labels.flat[0] = largest
    return labels


def some_picks(rotations: bool = False) -> Picks:
    rng = np.random.default_rng(2)
    matrices = np.array([[[0, -1, 0], [1, 0, 0], [0, 0, 1]]] * 3, dtype=float)
    return Picks(
        run="TS_01",
        positions_angstrom=rng.uniform(0, 200, (3, 3)),
        scores=np.array([0.9, 0.1, 0.5]),
        class_names=("class-1", "class-2", "class-1"),
        instance_ids=np.array([4, 5, 6]),
        rotations=matrices if rotations else None,
    )


def read_back(project: Any) -> Any:
    return project.open().get_run("TS_01")


def leftovers(project: Any) -> list[Path]:
    return [path for path in project.overlay.rglob("*") if ".part" in path.name or ".old" in path.name]


def test_is_a_sink(project: Any) -> None:
    sink = CopickSink(project.config_path)
    assert isinstance(sink, Sink)
    sink.check(["TS_01"], KEY)
    assert sink.existing("TS_01", KEY) == []
    assert sink.finish(KEY) == []


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


@pytest.mark.parametrize("rotations", [False, True])
def test_picks(project: Any, rotations: bool) -> None:
    tomogram, sink = opened(project)
    picks = some_picks(rotations)
    sink.write_picks(tomogram, picks, KEY)
    with logging_kept():
        for name in ("class-1", "class-2"):
            (found,) = read_back(project).get_picks(name, user_id="cryosiam", session_id="7")
            ours = picks.of_class(name)
            positions, transforms = found.numpy()
            np.testing.assert_array_equal(positions, ours.positions_angstrom)
            np.testing.assert_array_equal(found.scores(), ours.scores)
            np.testing.assert_array_equal(found.instance_ids(), ours.instance_ids)
            wanted = ours.rotations if ours.rotations is not None else np.tile(np.eye(3), (len(ours), 1, 1))
            np.testing.assert_array_equal(transforms[:, :3, :3], wanted)
            assert found.trust_orientation is rotations
            assert found.meta.voxel_spacing == 10.0


def test_objects_are_added_and_the_rest_of_the_file_stays(project: Any) -> None:
    before = json.loads(project.config_path.read_text())
    tomogram, _ = opened(project)
    sink = CopickSink(project.config_path, objects={"particle": "ribosome"})
    sink.write_segmentation(tomogram, ArrayVolume(np.zeros(tomogram.shape)), NAMES, KEY)
    picks = some_picks()
    radii = np.where(np.array(picks.class_names) == "class-1", 77.0, 42.0)
    sink.write_picks(tomogram, replace(picks, radii_angstrom=radii), KEY)
    after = json.loads(project.config_path.read_text())
    assert list(after) == list(before)
    assert after["pickable_objects"][0] == before["pickable_objects"][0]
    new = {entry["name"]: entry for entry in after["pickable_objects"][1:]}
    assert set(new) == {"membrane", "microtubule", "actin", "filament", "class-1", "class-2"}
    labels = [entry["label"] for entry in after["pickable_objects"]]
    assert sorted(labels) == list(range(1, 8))
    assert (new["class-1"]["radius"], new["class-2"]["radius"]) == (77.0, 42.0)
    assert (new["membrane"]["is_particle"], new["class-1"]["is_particle"]) == (False, True)
    after.pop("pickable_objects")
    before.pop("pickable_objects")
    assert after == before


def test_objects_are_not_added_where_that_is_not_wanted(project: Any) -> None:
    tomogram, _ = opened(project)
    sink = CopickSink(project.config_path, add_objects=False)
    before = project.config_path.read_bytes()
    with pytest.raises(InputError, match=r"lacks the pickable objects 'membrane', 'particle'.*; add them"):
        sink.check(["TS_01"], KEY)
    with pytest.raises(InputError, match="'class-1', 'class-2'"):
        sink.write_picks(tomogram, some_picks(), KEY)
    assert project.config_path.read_bytes() == before
    assert sink.existing("TS_01", KEY) == []


@pytest.mark.parametrize(
    ("key", "objects"),
    [(ProductKey("a_b", "1"), {}), (ProductKey("a", "1_2"), {}), (KEY, {"particle": "my_particle"})],
)
def test_names_that_copick_would_change(project: Any, key: ProductKey, objects: dict[str, str]) -> None:
    with pytest.raises(InputError, match="cannot store"):
        CopickSink(project.config_path, objects=objects).check(["TS_01"], key)


def test_products_there_are_listed_and_not_replaced(project: Any) -> None:
    tomogram, sink = opened(project)
    writes: list[Callable[[CopickSink], object]] = [
        lambda s: s.write_tomogram(replace(tomogram, tomogram_type="denoised"), KEY),
        lambda s: s.write_segmentation(tomogram, ArrayVolume(np.zeros(tomogram.shape)), NAMES, KEY),
        lambda s: s.write_instances(tomogram, ArrayVolume(np.zeros(tomogram.shape)), "particle", KEY),
        lambda s: s.write_picks(tomogram, some_picks(), KEY),
    ]
    for write in writes:
        write(sink)
    listed = sink.existing("TS_01", KEY)
    assert listed == [
        "InstanceSegmentations/10.000_cryosiam_7_particle.zarr",
        "Picks/cryosiam_7_class-1.json",
        "Picks/cryosiam_7_class-2.json",
        "Segmentations/10.000_cryosiam_7_semantic-multilabel.zarr",
        "VoxelSpacing10.000/denoised.zarr",
    ]
    assert sink.existing("TS_01", ProductKey("cryosiam", "8")) == []
    for write in writes:
        with pytest.raises(ProductExistsError, match="--overwrite"):
            write(sink)
        write(CopickSink(project.config_path, overwrite=True))
    assert sink.existing("TS_01", KEY) == listed
    assert leftovers(project) == []


def test_input_is_never_replaced(project: Any, tmp_path: Path) -> None:
    tomogram, _ = opened(project)
    with pytest.raises(ProductExistsError, match="never replaced"):
        CopickSink(project.config_path, overwrite=True).write_tomogram(tomogram, KEY)
    (tmp_path / "over").mkdir()
    project.edit(static_root=str(project.overlay), overlay_root=str(tmp_path / "over"))
    with pytest.raises(ProductExistsError, match="never replaced"):
        CopickSink(project.config_path, overwrite=True).write_tomogram(tomogram, KEY)


def test_overlay_takes_the_products_of_a_read_only_part(project: Any, tmp_path: Path) -> None:
    (tmp_path / "over").mkdir()
    before = sorted(path for path in project.overlay.rglob("*"))
    project.edit(static_root=str(project.overlay), overlay_root=str(tmp_path / "over"))
    tomogram, sink = opened(project)
    sink.write_tomogram(replace(tomogram, tomogram_type="denoised"), KEY)
    sink.write_picks(tomogram, some_picks(), KEY)
    assert sorted(path for path in project.overlay.rglob("*")) == before
    with logging_kept():
        run = read_back(project)
        np.testing.assert_array_equal(run.get_voxel_spacing(10.0).get_tomograms("denoised")[0].numpy(), project.voxels)
        assert len(run.get_picks(user_id="cryosiam")) == 2


def test_own_denoised_tomogram_is_no_second_input(project: Any) -> None:
    tomogram, sink = opened(project)
    sink.write_tomogram(replace(tomogram, tomogram_type="denoised"), KEY)
    for wanted in (None, "@10.0", "*@10.0", "*"):
        assert CopickSource(project.config_path, tomogram=wanted).tomogram("TS_01").tomogram_type == "wbp"
    assert CopickSource(project.config_path, tomogram="denoised@10.0").tomogram("TS_01").tomogram_type == "denoised"
    assert CopickSource(project.config_path, tomogram="deno*").tomogram("TS_01").tomogram_type == "denoised"


def test_classes_of_an_earlier_attempt_go_and_other_peoples_picks_stay(project: Any) -> None:
    tomogram, sink = opened(project)
    sink.write_picks(tomogram, some_picks(), KEY)
    with logging_kept():
        hand_made = read_back(project).new_picks("ribosome", "7", user_id="cryosiam")
        hand_made.from_numpy(np.zeros((1, 3)))
    only = some_picks().of_class("class-2")
    CopickSink(project.config_path, overwrite=True).write_picks(tomogram, only, KEY)
    names = {path.name for path in (project.overlay / "ExperimentRuns" / "TS_01" / "Picks").iterdir()}
    assert names == {"cryosiam_7_class-2.json", "cryosiam_7_ribosome.json"}


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


def test_overlay_elsewhere_is_refused(project: Any, tmp_path: Path) -> None:
    project.edit(static_root=str(project.overlay), overlay_root="memory://overlay", overlay_fs_args={})
    with pytest.raises(InputError, match="another machine"):
        CopickSink(project.config_path)


@contextmanager
def without_privileges() -> Iterator[Path]:
    """Give a folder that anybody can reach, and for root drop the right to write everywhere."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        user = os.geteuid()
        try:
            yield Path(name)
        finally:
            os.seteuid(user)


def test_read_only_project(project: Any) -> None:
    with without_privileges() as folder:
        overlay = folder / "overlay"
        project.overlay.rename(overlay)
        path = folder / "project.json"
        path.write_text(project.config_path.read_text().replace(str(project.overlay), str(overlay)))
        sink = CopickSink(path)
        tomogram = CopickSource(path).tomogram("TS_01")
        for inner in [overlay, *(p for p in overlay.rglob("*") if p.is_dir()), folder]:
            inner.chmod(0o555)
        before = sorted(folder.rglob("*"))
        if os.geteuid() == 0:
            os.seteuid(65534)
        with pytest.raises(StorageError, match="cannot be written"):
            sink.check(["TS_01"], KEY)
        with pytest.raises(StorageError):
            sink.write_tomogram(replace(tomogram, tomogram_type="denoised"), KEY)
        with pytest.raises(StorageError), sink.lock("TS_01"):
            pass
        os.seteuid(os.getuid())
        assert sorted(folder.rglob("*")) == before
        for inner in [overlay, *(p for p in overlay.rglob("*") if p.is_dir()), folder]:
            inner.chmod(0o755)


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Let the operating system refuse to write more than ``size`` bytes into a file, as a full disk would."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_write_that_the_system_refuses_leaves_the_old_product(project: Any) -> None:
    tomogram, sink = opened(project)
    sink.write_tomogram(replace(tomogram, tomogram_type="denoised"), KEY)
    sink.write_picks(tomogram, some_picks(), KEY)
    config = project.config_path.read_bytes()
    again = CopickSink(project.config_path, overwrite=True)
    new = ArrayVolume(project.voxels + 1)
    with files_no_larger_than(2000):
        with pytest.raises(StorageError):
            again.write_tomogram(replace(tomogram, tomogram_type="denoised", volume=new), KEY)
        with pytest.raises(StorageError):
            again.write_picks(tomogram, replace_many(some_picks(), 100), KEY)
        with pytest.raises(StorageError):
            again.write_segmentation(tomogram, ArrayVolume(label_volume(tomogram.shape, 5)), NAMES, KEY)
    assert leftovers(project) == []
    assert json.loads(config) != {}
    with logging_kept():
        run = read_back(project)
        np.testing.assert_array_equal(run.get_voxel_spacing(10.0).get_tomograms("denoised")[0].numpy(), project.voxels)
        assert len(run.get_picks("class-1", user_id="cryosiam")[0].numpy()[0]) == 2
        assert run.get_segmentations(user_id="cryosiam") == []


def replace_many(picks: Picks, times: int) -> Picks:
    return Picks(
        run=picks.run,
        positions_angstrom=np.tile(picks.positions_angstrom, (times, 1)),
        scores=np.tile(picks.scores, times),
        class_names=picks.class_names * times,
    )


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 200 kB, where the machine lets us."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip(f"no right to mount a small file system here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk(project: Any, tiny_disk: Path) -> None:
    project.edit(static_root=str(project.overlay), overlay_root=str(tiny_disk))
    source = CopickSource(project.config_path)
    noise = ArrayVolume(np.random.default_rng(3).normal(size=(40, 60, 60)).astype(np.float32))
    tomogram = replace(source.tomogram("TS_01"), volume=noise, tomogram_type="denoised")
    with pytest.raises(StorageError, match="the disk is full"):
        CopickSink(project.config_path).write_tomogram(tomogram, KEY)
    assert [path.name for path in tiny_disk.rglob("*") if path.is_file()] in ([], [".meta"], [".meta", ".meta"])


class InterruptedVolume:
    """A volume whose second block never comes."""

    shape = (300, 20, 20)

    def __init__(self) -> None:
        self.reads = 0

    def read(self, box: Box) -> NDArray[np.float32]:
        self.reads += 1
        if self.reads == 2:
            raise KeyboardInterrupt
        return np.ones([side.stop - side.start for side in box], np.float32)


def test_interrupt_leaves_nothing_half_written(project: Any) -> None:
    tomogram, sink = opened(project)
    with pytest.raises(KeyboardInterrupt):
        sink.write_tomogram(replace(tomogram, volume=InterruptedVolume(), tomogram_type="denoised"), KEY)
    assert leftovers(project) == []
    assert CopickSource(project.config_path).choices("TS_01") == ["wbp@10.0"]


KILLED = """
import os, signal, sys
from dataclasses import replace
import numpy as np
from cryosiam.integrations.copick.sink import CopickSink
from cryosiam.integrations.copick.source import CopickSource
from cryosiam.ports import ProductKey

class Killing:
    shape = (300, 20, 20)
    def read(self, box):
        if box[0].start:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.ones([side.stop - side.start for side in box], np.float32)

sink = CopickSink(sys.argv[1], overwrite=True)
tomogram = CopickSource(sys.argv[1], "wbp").tomogram("TS_01")
with sink.lock("TS_01"):
    sink.write_tomogram(replace(tomogram, volume=Killing(), tomogram_type="denoised"), ProductKey("cryosiam", "7"))
"""


def test_killed_process_leaves_the_old_product_and_the_next_one_clears_up(project: Any) -> None:
    tomogram, sink = opened(project)
    denoised = replace(tomogram, tomogram_type="denoised")
    sink.write_tomogram(denoised, KEY)
    done = subprocess.run([sys.executable, "-c", KILLED, str(project.config_path)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert leftovers(project)
    source = CopickSource(project.config_path, "denoised")
    np.testing.assert_array_equal(
        source.tomogram("TS_01").volume.read((slice(0, 20), slice(0, 30), slice(0, 45))), project.voxels
    )
    assert source.choices("TS_01") == ["denoised@10.0", "wbp@10.0"]
    with sink.lock("TS_01"):
        CopickSink(project.config_path, overwrite=True).write_tomogram(denoised, KEY)
    assert leftovers(project) == []


def test_killed_between_the_two_renames(project: Any) -> None:
    tomogram, sink = opened(project)
    path = Path(sink.write_tomogram(replace(tomogram, tomogram_type="denoised"), KEY))
    path.rename(path.with_name(f".{path.name}.old"))
    with pytest.raises(KeyboardInterrupt):
        sink.write_tomogram(replace(tomogram, volume=InterruptedVolume(), tomogram_type="denoised"), KEY)
    assert path.is_dir()
    assert leftovers(project) == []


HOLDING = """
import sys, time
from cryosiam.integrations.copick.sink import CopickSink
with CopickSink(sys.argv[1]).lock("TS_01"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_processes_on_one_run(project: Any) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDING, str(project.config_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    sink = CopickSink(project.config_path)
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ProjectLockedError, match=f"in use by process {holder.pid} on "), sink.lock("TS_01"):
            pass
        with sink.lock("TS_02"):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with sink.lock("TS_01"):
        pass


def test_label_without_a_name_is_a_mistake_of_ours(project: Any) -> None:
    tomogram, sink = opened(project)
    with pytest.raises(ValueError, match="not among those"):
        sink.write_segmentation(tomogram, ArrayVolume(np.full(tomogram.shape, 9)), NAMES, KEY)
    with pytest.raises(ValueError, match="whole numbers"):
        sink.write_instances(tomogram, ArrayVolume(np.full(tomogram.shape, 0.5)), "particle", KEY)
    assert sink.existing("TS_01", KEY) == []
    assert leftovers(project) == []


def test_copick_plugin_answers() -> None:
    done = subprocess.run(["copick", "inference", "cryosiam", "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--copick" in done.stdout


def test_copick_plugin_reports_errors_in_one_line(tmp_path: Path) -> None:
    command = ["copick", "inference", "cryosiam", "--config", str(tmp_path / "absent.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_plugin_module_imports_nothing_heavy() -> None:
    script = textwrap.dedent("""
        import sys
        import cryosiam.integrations.copick.plugin
        heavy = {"torch", "numpy", "copick", "zarr", "typer"} & set(sys.modules)
        sys.exit(", ".join(heavy) or 0)
    """)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
