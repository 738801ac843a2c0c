"""`cryosiam weights`: what a user sees, from a published checkpoint to picks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ..weights.upstream_layout import HEADS, Layout, state_of, write_checkpoint  # noqa: TID252 - tests are no package

TINY = Layout(planes=(4, 4, 6, 6), fpn=6, embedding=8, global_channels=8, head=(4, 4), vector=8, hidden=4)


@pytest.fixture(autouse=True)
def own_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the weights of whoever runs the tests out of them."""
    folder = tmp_path / "own weights"
    monkeypatch.setenv("CRYOSIAM_WEIGHTS", str(folder))
    return folder


@torch.no_grad()
def brightness_state(task: str) -> dict[str, torch.Tensor]:
    """Return a checkpoint whose dense heads answer with how bright a voxel is: protein is what is bright.

    The stem hands the grey value on, every later layer adds nothing or hands on channel 0.
    """
    state = TINY.task(HEADS[task], bias=False)
    for name, value in state.items():
        if name.endswith(("weight", "bias", "running_mean")):
            value.zero_()
        elif name.endswith("running_var"):
            value.fill_(1.0 - 1e-5)
        is_weight, is_norm = name.endswith("weight"), f"{name.rpartition('.')[0]}.running_var" in state
        if is_weight and is_norm:
            value.fill_(1.0)
        elif is_weight and (".layer" not in name or "decoder.layer4" in name):
            middle = [size // 2 for size in value.shape[2:]]
            value[(0, 0, *middle)] = 1.0
    for name, gain, offset in {
        "denoise": [("cnn_head", 1.0, 0.0)],
        "semantic": [],
        "lamella": [("semantic_head", 0.0, 5.0)],
        "instance": [("foreground_head", 40.0, -20.0), ("distance_head", 8.0, -4.0), ("boundary_head", 0.0, -5.0)],
    }[task]:
        state[f"_model.{name}.6.weight"][0, 0, 1, 1, 1] = gain
        state[f"_model.{name}.6.bias"][0] = offset
    if task == "semantic":
        weight, bias = state["_model.semantic_head.6.weight"], state["_model.semantic_head.6.bias"]
        weight.zero_()
        weight[2, 0, 1, 1, 1] = 40.0
        bias.copy_(torch.tensor([20.0, -9.0, 0.0, -9.0, -9.0, -9.0]))
    return state


def import_all(call: Any, folder: Path, tmp_path: Path, *tasks: str) -> Path:
    for task in tasks:
        state = state_of(task, TINY) if task == "simsiam" else brightness_state(task)
        path = write_checkpoint(tmp_path / f"cryosiam_{task}.ckpt", state)
        result = call("weights", "import", path, "--task", task, "--out", folder, "--voxel-size", "10")
        assert result.returncode == 0, result.stderr
    return folder


def test_list_names_what_ships_and_what_is_given(call: Any, weights: Path, own_weights: Path) -> None:
    shutil.copytree(weights, own_weights / "mine")
    result = call("weights", "list", weights)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split()[:2] == ["name", "for"]
    rows = [line for line in lines if "threshold" in line and "dense" in line]
    assert len(rows) == 2
    assert all("10 Å" in row and "MiB" in row for row in rows)
    assert any(str(own_weights / "mine") in row for row in rows)


def test_weights_among_ones_own_go_by_their_name(call: Any, weights: Path, own_weights: Path) -> None:
    shutil.copytree(weights, own_weights / "mine")
    assert "threshold" in call("weights", "show", "mine").stdout
    refused = call("weights", "show", "yours")
    assert refused.returncode == 1
    assert "'mine'" in refused.stderr


def test_show_says_it_in_words(call: Any, weights: Path) -> None:
    text = call("weights", "show", weights).stdout
    assert "protein dark" in text
    assert "small, large" in text
    assert "denoise, sample, semantic" in text


def spoil(folder: Path, what: str) -> None:
    from safetensors.torch import load_file, save_file

    path, card = folder / "dense.safetensors", folder / "dense.json"
    if what == "digest":
        path.write_bytes(path.read_bytes()[:-1] + b"\1")
        return
    tensors = load_file(path)
    name = "trunk.projector.0.weight"
    if what == "NaN":
        tensors[name][0] = float("nan")
    elif what == "missing":
        del tensors[name]
    elif what == "shape":
        tensors[name] = tensors[name][:1].clone()
    elif what == "unknown":
        tensors["spare.weight"] = torch.zeros(1)
    save_file(tensors, path)
    import hashlib

    changes: dict[str, Any] = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    if what == "card":
        changes["surprise"] = 1
    if what == "halo":
        changes["halo"] = 1
    if what == "classes":
        changes["semantic_classes"] = ["background", "membrane"]
    card.write_text(json.dumps({**json.loads(card.read_text()), **changes}))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("digest", "digest is not the one on its card"),
        ("NaN", "NaN or infinite numbers in trunk.projector.0.weight"),
        ("missing", "lacks the tensor trunk.projector.0.weight"),
        ("shape", "trunk.projector.0.weight of shape (1, 2, 1, 1, 1)"),
        ("unknown", "spare.weight"),
        ("card", "surprise"),
        ("halo", "halo of 1 voxels"),
        ("classes", "semantic classes are background, membrane"),
    ],
)
def test_verify_finds_what_is_wrong(call: Any, weights: Path, tmp_path: Path, what: str, message: str) -> None:
    copy = Path(shutil.copytree(weights, tmp_path / "copy"))
    assert call("weights", "verify", copy).returncode == 0
    spoil(copy, what)
    result = call("weights", "verify", copy)
    assert result.returncode == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert "subtomogram: good" in result.stdout


def test_verify_compares_the_classifier_with_its_names(call: Any, weights: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(weights, tmp_path / "copy"))
    card = copy / "subtomogram.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "species": ["small", "large", "huge"]}))
    assert "for its 3 species" in call("weights", "verify", copy).stderr


def test_verify_finds_weights_without_a_card(call: Any, weights: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(weights, tmp_path / "copy"))
    (copy / "dense.json").unlink()
    assert "has no card" in call("weights", "verify", copy).stderr


def test_export_copies_whole_and_replaces_nothing_unasked(call: Any, weights: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert call("weights", "export", weights, copy).returncode == 0
    assert {p.name: p.read_bytes() for p in copy.glob("*.safetensors")} == {
        p.name: p.read_bytes() for p in weights.glob("*.safetensors")
    }
    assert call("weights", "verify", copy).returncode == 0
    refused = call("weights", "export", weights, copy)
    assert refused.returncode == 1
    assert "--overwrite" in refused.stderr
    assert call("weights", "export", weights, copy, "--overwrite").returncode == 0


def test_imported_weights_pick(call: Any, make_project: Any, tmp_path: Path) -> None:
    folder = import_all(call, tmp_path / "authors", tmp_path, "denoise", "semantic", "lamella", "instance", "simsiam")
    assert call("weights", "verify", folder).returncode == 0
    project = make_project()
    result = call("pick", "--copick", project.config, "--weights", folder, "--contrast", "dark", "--quiet")
    assert result.returncode == 0, result.stderr
    ((run, (centres, _)),) = project.truth.items()
    points = project.picks(run, "particle")
    found = np.array([[p["location"][axis] for axis in "zyx"] for p in points]) / 10.0
    assert len(found) == len(centres)
    assert max(np.linalg.norm(found - centre, axis=1).min() for centre in centres) < 1.5
    details = project.manifest()["runs"][run]["stages"]["dense"]["details"]
    assert len(details["networks"]) == 4


def test_what_is_missing_for_a_command_is_named(call: Any, make_project: Any, tmp_path: Path) -> None:
    folder = import_all(call, tmp_path / "authors", tmp_path, "denoise")
    project = make_project()
    arguments = ("--copick", project.config, "--weights", folder, "--contrast", "dark", "--quiet")
    refused = call("pick", *arguments)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    for word in ("semantic, foreground, distance, boundary", "have the head denoise", "'cryosiam denoise' works"):
        assert word in refused.stderr
    assert not project.out.exists()
    assert call("denoise", *arguments).returncode == 0


def test_import_says_what_it_took_to_be_so(call: Any, tmp_path: Path, own_weights: Path) -> None:
    path = write_checkpoint(tmp_path / "cryosiam_semantic.ckpt", brightness_state("semantic"))
    result = call("weights", "import", path, "--task", "semantic", "--name", "authors")
    assert result.returncode == 0, result.stderr
    assert (own_weights / "authors" / "dense-semantic.safetensors").is_file()
    assert "6.8 Å" in result.stdout
    assert "classes in the order background, membrane" in result.stdout
    assert call("weights", "import", path, "--task", "denoise").returncode == 1
