"""Any STAR file is read as it is, or refused with one true sentence."""

from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import starfile
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosiam.errors import InputError
from cryosiam.integrations.star.star_file import StarBlock, StarFile, read_star
from cryosiam.integrations.star.star_writer import write_blocks

DATA = Path(__file__).parents[4] / "shared" / "data" / "metadata"
FILES = sorted(path for path in DATA.rglob("*") if ".star" in path.name)
REFUSED = {"test_data3.star": "several lines"}
"""Real files that are none of ours to read, and what is said of them."""
needs_data = pytest.mark.skipif(not FILES, reason=f"there are no STAR files in {DATA}")


def cells(star: StarFile) -> list[tuple[str, bool, dict[str, list[str]]]]:
    return [(block.name, block.is_loop, {name: block.text(name) for name in block.columns}) for block in star.blocks]


def written(folder: Path, text: str) -> Path:
    path = folder / "file.star"
    path.write_text(text, newline="")
    return path


@needs_data
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(DATA).as_posix())
def test_real_files_are_read_and_rewritten(path: Path, tmp_path: Path) -> None:
    if path.name in REFUSED:
        with pytest.raises(InputError, match=REFUSED[path.name]):
            read_star(path)
        return
    star = read_star(path)
    write_blocks(tmp_path / "again.star", star.blocks)
    assert cells(read_star(tmp_path / "again.star")) == cells(star)


@needs_data
@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.name not in REFUSED and path.name not in ("test_data7.star", "empty_loop.star")],
    ids=lambda path: path.relative_to(DATA).as_posix(),
)
def test_real_files_say_the_same_to_the_starfile_package(path: Path, tmp_path: Path) -> None:
    star = read_star(path)
    write_blocks(tmp_path / "again.star", star.blocks)
    names = sorted({name for block in star.blocks for name in block.columns})
    theirs = starfile.read(tmp_path / "again.star", always_dict=True, parse_as_string=names)
    assert list(theirs) == [block.name for block in star.blocks]
    for block in star.blocks:
        table = theirs[block.name]
        if isinstance(table, dict):
            assert {name: [str(value)] for name, value in table.items()} == {
                name: block.text(name) for name in block.columns
            }
        else:
            assert {name: table[name].tolist() for name in table.columns} == {
                name: block.text(name) for name in block.columns
            }


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Z"]), min_size=0, max_size=8)
texts = st.one_of(
    words, st.builds(" ".join, st.lists(words, max_size=3)), st.sampled_from(["001", "1e5", "nan", "", "#"])
)


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[A-Za-z0-9_.-]{0,8}", fullmatch=True),
            st.lists(st.from_regex(r"[A-Za-z][A-Za-z0-9.]{0,8}", fullmatch=True), min_size=1, max_size=4, unique=True),
            st.integers(0, 3),
            st.data(),
        ),
        min_size=1,
        max_size=3,
    )
)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, tables: list[tuple[str, list[str], int, st.DataObject]]
) -> None:
    path = tmp_path_factory.mktemp("star") / "file.star"
    blocks = []
    for name, columns, count, data in tables:
        table = {
            column: np.array(data.draw(st.lists(texts, min_size=max(count, 1), max_size=max(count, 1))), dtype=object)
            for column in columns
        }
        blocks.append(StarBlock(name, table, is_loop=count > 0, path=path))
    star = StarFile(path, tuple(blocks))
    try:
        write_blocks(path, star.blocks)
    except InputError:
        return  # a cell with both kinds of quotes
    assert cells(read_star(path)) == cells(star)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_quotes_and_comments(tmp_path: Path, end: str) -> None:
    text = """# a comment
data_general

_rlnList 'two words'
_rlnOther  1 # a comment

data_particles

  loop_
 _rlnTomoName #1
_rlnCoordinateX#2
_rlnImageName #3
001 1.50 "a b"

TS#2\t-2e3 'it''s'
# a comment
1e5 3 '' # a comment
"""
    star = read_star(written(tmp_path, text.replace("\n", end)))
    assert cells(star)[0] == ("general", False, {"rlnList": ["two words"], "rlnOther": ["1"]})
    particles = star.blocks[1]
    assert particles.text("rlnTomoName") == ["001", "TS#2", "1e5"]
    np.testing.assert_array_equal(particles.numbers("rlnCoordinateX#2"), [1.5, -2000, 3])
    assert particles.text("rlnImageName") == ["a b", "it''s", ""]
    assert star.comments == ("# a comment",)


def test_tables_without_rows_and_several_under_one_name(tmp_path: Path) -> None:
    text = "data_a\n_x 1\nloop_\n_y\n_z\n1 2\n3 4\nloop_\n_w #1\n\ndata_\n\ndata_a\nloop_\n_v\n5"
    star = read_star(written(tmp_path, text))
    assert cells(star) == [
        ("a", False, {"x": ["1"]}),
        ("a", True, {"y": ["1", "3"], "z": ["2", "4"]}),
        ("a", True, {"w": []}),
        ("", False, {}),
        ("a", True, {"v": ["5"]}),
    ]
    assert star.block("a") is star.blocks[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no line of it starts with data_"),
        ("x,y\n1,2\n", "no line of it starts with data_"),
        ("1 2 3\ndata_\n_x 1\n", "stands before the first data_"),
        ("data_\nloop_\n_x\n_x\n1 2\n", "line 4 .* names the column x of data_ a second time"),
        ("data_\n_x 1\n_x 2\n", "line 3 .* a second time"),
        ("data_\nloop_\n_x\n_y\n1 2\n3\n4 5\n", "line 6 .* has 1 cells, data_ has 2 columns"),
        ("data_\nloop_\n_x\n_y\n1 2\n3 4 5\n", "line 6 .* has 3 cells, data_ has 2 columns"),
        ("data_\nloop_\n_x\n_y\n1 2\n3", "ends in the middle of a row; wait"),
        ("data_\n_x 1 2\n", "line 2 .* gives 2 values to _x"),
        ("data_\n1 2 3\n", "line 2 .* belongs to no label or loop"),
        ("data_\n_x\n;several\nlines\n;\n", "line 3 .* several lines"),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=words) as error:
        read_star(path)
    assert str(path) in str(error.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        read_star(tmp_path / "missing.star")
    with pytest.raises(InputError, match="cannot be read"):
        read_star(tmp_path)
    for content in (b"\x93NUMPY\x01\x00", b"data_\n\x00", "data_\n_x 1\n".encode("utf-16"), b"\x1f\x8b\x08broken"):
        path = tmp_path / "binary.star"
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"not a text file|cannot be read"):
            read_star(path)


def test_marks_and_compression_are_taken_off(tmp_path: Path) -> None:
    text = "data_\nloop_\n_name\nÅ\n"
    (tmp_path / "mark.star").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (tmp_path / "packed.star.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("mark.star", "packed.star.gz"):
        assert read_star(tmp_path / name).blocks[0].text("name") == ["Å"]


def test_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, "data_p\nloop_\n_x\n_y\n_z\n1 nan 1\n-2.5e1 3 one\n")
    (block,) = read_star(path).blocks
    np.testing.assert_array_equal(block.numbers("x"), [1, -25])
    with pytest.raises(InputError, match="'nan' in row 1 of y, which is not a number"):
        block.numbers("y")
    with pytest.raises(InputError, match="'one' in row 2 of z"):
        block.numbers("z")
    with pytest.raises(InputError, match=r"data_p of .* has no column w"):
        block.numbers("w")


@pytest.mark.parametrize(
    "cell", ["+1.5", "1_0", "nan", "inf", "one", "1e400", "-0", "1e-320", "0.1", "123456789.123456789"]
)
def test_numbers_of_many_cells_are_those_of_few(tmp_path: Path, cell: str) -> None:
    """Many cells take another way, which must not show."""
    blocks = [
        StarBlock("p", {"x": np.array(["1"] * count + [cell], dtype=object)}, is_loop=True, path=tmp_path)
        for count in (3, 60_000)
    ]
    try:
        few = blocks[0].numbers("x")[-1]
    except InputError:
        with pytest.raises(InputError, match="in row 60001 of x, which is not a number"):
            blocks[1].numbers("x")
    else:
        assert blocks[1].numbers("x")[-1].tobytes() == few.tobytes()


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "data_\nloop_\n_x\n1\n")
    looks = []

    def look(number: int) -> os.stat_result:
        if looks:
            with path.open("a") as stream:
                stream.write("2\n")
        looks.append(number)
        return os.stat(number)

    monkeypatch.setattr(os, "fstat", look)
    with pytest.raises(InputError, match="changed while it was read; wait"):
        read_star(path)


def test_a_file_is_whole_whenever_it_is_read(tmp_path: Path) -> None:
    """A reader sees the old file or the new one, however often it is written anew."""
    path = tmp_path / "file.star"
    blocks = [
        StarBlock("p", {"x": np.array([str(count)] * count, dtype=object)}, is_loop=True, path=path)
        for count in (50, 5000)
    ]
    write_blocks(path, blocks[:1])
    done = threading.Event()
    found: set[int] = set()

    def write() -> None:
        for number in range(40):
            write_blocks(path, [blocks[number % 2]])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        (block,) = read_star(path).blocks
        found.add(len(block))
        assert block.text("x") == [str(len(block))] * len(block)
    writer.join()
    assert found == {50, 5000}
    assert os.listdir(tmp_path) == ["file.star"]
