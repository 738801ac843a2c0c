"""What a stage of training begins with stays as it was, whatever the stage writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cryosiam.cli.train_options import TrainOptions
from cryosiam.cli.train_session import Session
from cryosiam.training.recipe import read_recipe


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(read_recipe("light"), TrainOptions(out=tmp_path / "out", quiet=True), None)


def weights(folder: Path, content: str) -> Callable[[], Path]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dense.json").write_text(content)
    (folder / "dense.safetensors").write_text(content)
    (folder / "notes.txt").write_text("not weights")
    return lambda: folder


def test_until_something_is_learnt_a_stage_begins_with_the_newest_weights(session: Session, tmp_path: Path) -> None:
    kept = session.kept("broaden", weights(tmp_path / "out" / "weights", "old"))
    assert sorted(path.name for path in kept.iterdir()) == ["dense.json", "dense.safetensors"]
    kept = session.kept("broaden", weights(tmp_path / "out" / "weights", "new"))
    assert (kept / "dense.json").read_text() == "new"


@pytest.mark.parametrize("source", ["out/weights", "elsewhere"])
def test_once_it_has_learnt_it_goes_on_from_what_it_began_with(session: Session, tmp_path: Path, source: str) -> None:
    kept = session.kept("contrastive", weights(tmp_path / source, "old"))
    (kept.parent / "checkpoint.pt").write_bytes(b"learnt")
    again = session.kept("contrastive", weights(tmp_path / "out" / "weights", "own"))
    assert again == kept
    assert (again / "dense.json").read_text() == "old"


def test_what_a_kill_left_of_a_copy_is_made_anew(session: Session, tmp_path: Path) -> None:
    partial = tmp_path / "out" / "broaden" / ".start.partial"
    partial.mkdir(parents=True)
    (partial / "dense.json").write_text("half")
    (partial / "dense-denoise.json").write_text("half")
    kept = session.kept("broaden", weights(tmp_path / "out" / "weights", "whole"))
    assert not partial.exists()
    assert sorted(path.read_text() for path in kept.iterdir()) == ["whole", "whole"]
