"""MRC files as source and sink; mrcfile reads back what was written."""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from numpy.typing import NDArray

from cryosiam.domain import SEMANTIC_CLASSES, ArrayVolume, Tomogram
from cryosiam.errors import InputError, ProductExistsError, StorageError
from cryosiam.integrations.mrc.sink import MrcSink
from cryosiam.integrations.mrc.source import MrcSource
from cryosiam.ports import ProductKey, Sink, Source

KEY = ProductKey("cryosiam", "7")
SHAPE = (6, 8, 10)
BOX = (slice(1, 5), slice(0, 8), slice(2, 10))


def voxels(dtype: Any = np.float32) -> NDArray[Any]:
    return np.random.default_rng(0).normal(0, 50, SHAPE).astype(dtype)


def write(path: Path, data: NDArray[Any], voxel_size: Any = 10.0) -> Path:
    with mrcfile.new(path, data=data) as file:
        file.voxel_size = voxel_size
        file.set_volume()
    return path


def edit_header(path: Path, field: str, value: Any) -> None:
    with mrcfile.open(path, "r+") as file:
        file.header[field] = value


def refused(path: Path, voxel_size: float | None = None) -> str:
    with pytest.raises(InputError) as error:
        MrcSource([path], voxel_size).tomogram(path.stem)
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint16, np.int8, np.float16])
def test_reads_what_mrcfile_wrote(tmp_path: Path, dtype: Any) -> None:
    path = write(tmp_path / "TS_01.mrc", voxels(dtype))
    source = MrcSource([str(tmp_path / "*.mrc")])
    assert isinstance(source, Source)
    assert source.runs() == ["TS_01"]
    tomogram = source.tomogram("TS_01")
    assert (tomogram.shape, tomogram.voxel_size_angstrom, tomogram.source) == (SHAPE, 10.0, str(path))
    np.testing.assert_array_equal(tomogram.volume.read(BOX), voxels(dtype)[BOX].astype(np.float32))
    assert source.reference_picks("TS_01") is None


def test_big_endian_and_extended_header(tmp_path: Path) -> None:
    path = tmp_path / "TS_01.rec"
    with mrcfile.new(path) as file:
        file.set_data(voxels(np.int16).astype(">i2"))
        file.set_extended_header(np.zeros(300, "V1"))
        file.voxel_size = 10
        file.set_volume()
    tomogram = MrcSource([path]).tomogram("TS_01")
    np.testing.assert_array_equal(tomogram.volume.read(BOX), voxels(np.int16)[BOX])


def test_unsigned_bytes_of_imod(tmp_path: Path) -> None:
    data = np.random.default_rng(1).integers(0, 256, SHAPE).astype(np.uint8)
    path = write(tmp_path / "TS_01.rec", data.view(np.int8))
    with path.open("r+b") as stream:
        stream.seek(152)
        stream.write(np.array([1146047817, 0], "<i4").tobytes())
    np.testing.assert_array_equal(MrcSource([path]).tomogram("TS_01").volume.read(BOX), data[BOX])
    with path.open("r+b") as stream:
        stream.seek(156)
        stream.write(np.array([1], "<i4").tobytes())
    np.testing.assert_array_equal(MrcSource([path]).tomogram("TS_01").volume.read(BOX), data.view(np.int8)[BOX])


def test_voxel_size_of_the_user_wins(tmp_path: Path) -> None:
    path = write(tmp_path / "TS_01.mrc", voxels(), 0)
    assert MrcSource([path], 13.5).tomogram("TS_01").voxel_size_angstrom == 13.5
    assert "states no voxel size; give it with --voxel-size" in refused(path)


@pytest.mark.parametrize("size", [0.0, -10.0, float("nan")])
def test_voxel_size_option_that_cannot_be(tmp_path: Path, size: float) -> None:
    assert "not possible" in refused(write(tmp_path / "TS_01.mrc", voxels()), size)


@pytest.mark.parametrize(
    ("cell", "words"),
    [((-100, -80, -60), "states a voxel size of -10"), ((100, 80, 90), "not cubes"), ((np.nan,) * 3, "no voxel size")],
)
def test_voxel_size_in_the_header_that_cannot_be(tmp_path: Path, cell: tuple[float, ...], words: str) -> None:
    path = write(tmp_path / "TS_01.mrc", voxels())
    edit_header(path, "cella", cell)
    assert words in refused(path)


def test_truncated(tmp_path: Path) -> None:
    path = write(tmp_path / "TS_01.mrc", voxels())
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size - 1)
    assert "truncated: 2943 of 2944 bytes" in refused(path)
    with path.open("r+b") as stream:
        stream.truncate(100)
    assert "is not an MRC file" in refused(path)


def test_files_that_are_no_tomogram(tmp_path: Path) -> None:
    (tmp_path / "text.mrc").write_text("no volume" * 500)
    assert "is not an MRC file" in refused(tmp_path / "text.mrc")
    (tmp_path / "empty.mrc").write_bytes(b"")
    assert "is not an MRC file" in refused(tmp_path / "empty.mrc")
    (tmp_path / "TS.mrc.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(InputError, match="unpack it first"):
        MrcSource([tmp_path / "TS.mrc.gz"]).tomogram("TS.mrc")
    assert "is not one volume" in refused(write(tmp_path / "image.mrc", voxels()[:1]))
    assert "not a volume" in refused(write(tmp_path / "fourier.mrc", voxels().astype(np.complex64)))
    swapped = write(tmp_path / "swapped.mrc", voxels())
    edit_header(swapped, "mapc", 3)
    edit_header(swapped, "maps", 1)
    assert "order (3, 2, 1)" in refused(swapped)


def test_patterns(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "TS_01.mrc", voxels())
    write(tmp_path / "b" / "TS_02.mrc", voxels())
    assert MrcSource([str(tmp_path / "b/*.mrc"), str(tmp_path / "b/TS_02.mrc")]).runs() == ["TS_01", "TS_02"]
    assert MrcSource([str(tmp_path / "b/*.mrc")], runs=["TS_02"]).runs() == ["TS_02"]
    for patterns, runs, words in (
        ([str(tmp_path / "*.mrc")], None, "no file fits"),
        ([str(tmp_path / "*/*.mrc")], None, "would both be run 'TS_01'"),
        ([str(tmp_path / "a")], None, "is a folder"),
        ([], None, "no MRC files were given"),
        ([str(tmp_path / "b/*.mrc")], ["TS_9"], "no file is named 'TS_9'"),
    ):
        with pytest.raises(InputError, match=words):
            MrcSource(patterns, runs=runs)


def test_name_that_star_readers_change(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'001'.*reads as a number"):
        MrcSource([write(tmp_path / "001.mrc", voxels())])


def test_signature_changes_with_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "TS_01.mrc", voxels())
    first = MrcSource([path]).signature("TS_01")
    assert MrcSource([path]).signature("TS_01") == first
    assert MrcSource([path], 5).signature("TS_01") != first
    os.utime(path, ns=(1, 1))
    assert MrcSource([path]).signature("TS_01") != first


@pytest.fixture
def tomogram() -> Tomogram:
    return Tomogram("TS_01", ArrayVolume(voxels()), 13.48, "denoised", "memory")


def read(path: str) -> tuple[NDArray[Any], Any]:
    with warnings.catch_warnings(), mrcfile.open(path) as file:
        warnings.simplefilter("error")
        assert mrcfile.validate(path, print_file=io.StringIO())
        assert file.is_volume()
        np.testing.assert_allclose(file.voxel_size.tolist(), 13.48, rtol=1e-6)
        return file.data.copy(), file.header.copy()


def test_writes_what_mrcfile_reads(tmp_path: Path, tomogram: Tomogram, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cryosiam.integrations.mrc.writer.SLAB_BYTES", 2 * 4 * 8 * 10)
    sink = MrcSink(tmp_path / "out")
    assert isinstance(sink, Sink)
    sink.check(["TS_01"], KEY)
    assert not (tmp_path / "out").exists()
    data, header = read(sink.write_tomogram(tomogram, KEY))
    np.testing.assert_array_equal(data, voxels())
    np.testing.assert_allclose(
        [header.dmin, header.dmax, header.dmean, header.rms],
        [data.min(), data.max(), data.mean(), data.std()],
        rtol=1e-4,
        atol=1e-4,
    )
    labels = np.random.default_rng(2).integers(0, 6, SHAPE)
    data, _ = read(sink.write_segmentation(tomogram, ArrayVolume(labels), dict(enumerate(SEMANTIC_CLASSES)), KEY))
    assert data.dtype == np.int8
    np.testing.assert_array_equal(data, labels)
    labels[0, 0, 0] = 65535
    data, _ = read(sink.write_instances(tomogram, ArrayVolume(labels), "particle", KEY))
    assert data.dtype == np.uint16
    np.testing.assert_array_equal(data, labels)
    assert [Path(name).name for name in sink.existing("TS_01", KEY)] == [
        "TS_01_denoised.mrc",
        "TS_01_instances-particle.mrc",
        "TS_01_semantic.mrc",
    ]
    assert sink.existing("TS_0", KEY) == []
    assert sink.existing("TS", KEY) == []
    assert sink.existing("TS_0[1]", KEY) == []
    denoised = replace(tomogram, run="TS[1]", tomogram_type="mrc-denoised-cryosiam-7")
    assert sink.existing("TS[1]", KEY) == [] != [sink.write_tomogram(denoised, KEY)] == sink.existing("TS[1]", KEY)


def test_too_many_instances(tmp_path: Path, tomogram: Tomogram) -> None:
    sink = MrcSink(tmp_path)
    with pytest.raises(InputError, match="ids up to 65536, and MRC holds 65535"):
        sink.write_instances(tomogram, ArrayVolume(np.full(SHAPE, 65536)), "particle", KEY)
    assert sink.existing("TS_01", KEY) == []


def test_existing_file_stays_without_overwrite(tmp_path: Path, tomogram: Tomogram) -> None:
    MrcSink(tmp_path).write_tomogram(tomogram, KEY)
    other = replace(tomogram, volume=ArrayVolume(voxels() + 1))
    with pytest.raises(ProductExistsError, match="--overwrite"):
        MrcSink(tmp_path).write_tomogram(other, KEY)
    data, _ = read(MrcSink(tmp_path, overwrite=True).write_tomogram(other, KEY))
    np.testing.assert_array_equal(data, voxels() + 1)


def test_failed_write_leaves_nothing(tmp_path: Path, tomogram: Tomogram) -> None:
    class Broken:
        shape = SHAPE

        def read(self, box: Any) -> NDArray[np.float32]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        MrcSink(tmp_path).write_tomogram(replace(tomogram, volume=Broken()), KEY)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        MrcSink(tmp_path / "out").check(["TS_01"], KEY)
