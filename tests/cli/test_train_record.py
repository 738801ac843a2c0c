"""A stage of training goes on with what it was begun with, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryosiam.cli.train_record import START, StageRecord
from cryosiam.errors import InputError

SETTINGS = {"recipe": {"dense": {"steps": 5}, "patch_zyx": [8, 8, 8]}, "labels": None}


def learn(folder: Path) -> None:
    (folder / "checkpoint.pt").write_bytes(b"learnt")


def test_it_is_finished_when_it_says_so(tmp_path: Path) -> None:
    record = StageRecord(tmp_path / "dense", SETTINGS)
    assert record.check() is None
    with record.begun():
        learn(record.folder)
    assert record.check() is None
    record.finish("abc")
    assert record.check() == "abc"


def test_where_nothing_was_learnt_nothing_is_left(tmp_path: Path) -> None:
    record = StageRecord(tmp_path / "dense", SETTINGS)
    with pytest.raises(RuntimeError), record.begun():
        raise RuntimeError
    assert not record.folder.exists()


def test_what_a_stage_is_to_begin_with_is_not_learnt(tmp_path: Path) -> None:
    record = StageRecord(tmp_path / "broaden", SETTINGS)
    with pytest.raises(RuntimeError), record.begun():
        (record.folder / START).mkdir()
        (record.folder / START / "dense.json").write_text("{}")
        raise RuntimeError
    assert not record.folder.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": "me/1"}, "labels none, not me/1"),
        ({"recipe": {"dense": {"steps": 6}, "patch_zyx": [8, 8, 8]}}, "recipe.dense.steps 5, not 6"),
        ({"recipe": {"dense": {"steps": 5}, "patch_zyx": [8, 8, 9]}}, r"recipe.patch_zyx\[2\] 8, not 9"),
        ({"recipe": {"dense": {"steps": 5}, "patch_zyx": [8, 8, 8], "dice": "mean"}}, "recipe.dice none, not mean"),
    ],
)
def test_other_settings_are_named(tmp_path: Path, change: dict[str, object], said: str) -> None:
    record = StageRecord(tmp_path / "dense", SETTINGS)
    with record.begun():
        learn(record.folder)
    with pytest.raises(InputError, match=said):
        StageRecord(tmp_path / "dense", {**SETTINGS, **change}).check()


def test_begun_without_anything_learnt_other_settings_may_follow(tmp_path: Path) -> None:
    (tmp_path / "dense").mkdir()
    (tmp_path / "dense" / "stage.json").write_text("{}")
    assert StageRecord(tmp_path / "dense", SETTINGS).check() is None


@pytest.mark.parametrize("text", [None, "", "{}", "[]", '{"settings": 1'])
def test_a_damaged_record_is_not_gone_on_from(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "dense").mkdir()
    learn(tmp_path / "dense")
    if text is not None:
        (tmp_path / "dense" / "stage.json").write_text(text)
    with pytest.raises(InputError, match="missing or damaged"):
        StageRecord(tmp_path / "dense", SETTINGS).check()
