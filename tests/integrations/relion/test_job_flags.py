"""The command line of an External job, as RELION makes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryosiam.errors import InputError
from cryosiam.integrations.relion.job_flags import job_folder, read_flags

KNOWN = ("threshold", "low-pass")
START = ["--o", "External/job007/"]

labels = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True).filter(lambda name: name not in ("o", "j"))
values = st.one_of(st.just(""), st.from_regex(r"-?[A-Za-z0-9./,]{1,12}", fullmatch=True))


@given(st.lists(st.tuples(labels, values)), st.integers(1, 64))
def test_whatever_relion_appends_is_taken(pairs: list[tuple[str, str]], threads: int) -> None:
    words = [*START]
    for label, value in pairs:
        words += [f"--{label}", *([value] if value else [])]
    flags = read_flags([*words, "--j", str(threads), "--pipeline_control", "External/job007/"], KNOWN)
    assert flags.folder == Path("External/job007/")
    assert flags.threads == threads
    assert set(flags.settings) <= set(KNOWN)
    given_values = {label.replace("_", "-"): value for label, value in pairs}
    assert flags.settings == {name: given_values[name] for name in KNOWN if given_values.get(name)}
    assert all(note.count("\n") == 0 for note in flags.notes)


@pytest.mark.parametrize("name", ["in_mics", "in_tomograms", "in_tomoset", "tomograms", "tomograms-star"])
def test_ways_to_name_the_tomograms(name: str) -> None:
    assert read_flags([*START, f"--{name}", "T/tomograms.star"], KNOWN).tomograms_star == Path("T/tomograms.star")


def test_a_parameter_comes_before_the_field_for_micrographs() -> None:
    flags = read_flags([*START, "--in_mics", "m.star", "--tomograms", "t.star"], KNOWN)
    assert flags.tomograms_star == Path("t.star")


def test_later_words_win_and_negative_numbers_are_values() -> None:
    flags = read_flags([*START, "--threshold", "0.5", "--threshold=0.7", "--low_pass", "-5"], KNOWN)
    assert flags.settings == {"threshold": "0.7", "low-pass": "-5"}


def test_words_before_the_first_flag_are_told() -> None:
    assert read_flags(["stray", *START], KNOWN).notes == ("'stray' belongs to no flag and is left out",)


def test_the_folder_may_come_from_pipeline_control_alone() -> None:
    assert job_folder(["--o", "--pipeline_control", "External/job007/"]) == Path("External/job007/")
    with pytest.raises(InputError, match="no job folder"):
        job_folder(["--threshold", "0.5"])


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_threads_that_are_no_number(text: str) -> None:
    with pytest.raises(InputError, match="whole number from 1"):
        read_flags([*START, "--j", text], KNOWN)
