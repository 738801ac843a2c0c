"""Weights and cards: what is saved comes back, and everything that does not fit is refused."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

from cryosiam.domain import SEMANTIC_CLASSES
from cryosiam.errors import WeightsError
from cryosiam.networks.config import DenseConfig, EncoderConfig
from cryosiam.networks.dense import DenseNetwork
from cryosiam.weights import load_dense, load_subtomogram, save_weights

CONFIG = DenseConfig(
    encoder=EncoderConfig(stem_kernel=3, stem_stride=2, planes=(4, 8)),
    fpn_channels=8,
    embedding_channels=8,
    head_channels=(4,),
)


def card_fields(network: DenseNetwork) -> dict[str, Any]:
    return {
        "name": "test",
        "task": "dense",
        "network": CONFIG,
        "heads": network.heads,
        "semantic_classes": SEMANTIC_CLASSES,
        "voxel_size_angstrom": 10.0,
        "contrast": "dark",
        "halo": network.halo,
        "training": {"recipe": "none", "data": "random numbers", "hours": 0.0, "machine": "this"},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = DenseNetwork(CONFIG)
    save_weights(tmp_path, network, card_fields(network))
    return tmp_path


def edit_card(folder: Path, **changes: Any) -> None:
    path = folder / "dense.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_write_that_fails_leaves_what_was_there(folder: Path) -> None:
    network = DenseNetwork(CONFIG)
    tensors, card = (folder / name for name in ("dense.safetensors", "dense.json"))
    before = tensors.read_bytes()
    card.unlink()
    (card / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        save_weights(folder, network, card_fields(network))
    assert {path.name for path in folder.iterdir()} == {tensors.name, card.name}
    assert tensors.read_bytes() == before


def test_round_trip_in_half_precision(folder: Path) -> None:
    torch.manual_seed(0)
    original = DenseNetwork(CONFIG).eval()
    loaded = load_dense(folder)
    assert loaded.card.semantic_classes == SEMANTIC_CLASSES
    x = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        for name, value in original(x).items():
            torch.testing.assert_close(loaded.network(x)[name], value, rtol=2e-2, atol=1e-2)


def test_card_follows_its_schema(folder: Path) -> None:
    from importlib.resources import files

    schema = json.loads((files("cryosiam.schemas") / "weights_card.schema.json").read_text())
    jsonschema.validate(json.loads((folder / "dense.json").read_text()), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"name": "x"}, schema)


def test_truncated_file_is_refused(folder: Path) -> None:
    path = folder / "dense.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="truncated"):
        load_dense(folder)


def test_another_class_list_is_refused(folder: Path) -> None:
    edit_card(folder, semantic_classes=["background", "membrane", "particle", "actin", "microtubule", "filament"])
    with pytest.raises(WeightsError, match="semantic classes"):
        load_dense(folder)


def test_another_network_shape_is_refused(folder: Path) -> None:
    edit_card(folder, network={**json.loads(CONFIG.model_dump_json()), "fpn_channels": 16})
    with pytest.raises(WeightsError, match="do not fit their card"):
        load_dense(folder)


def test_wrong_halo_is_refused(folder: Path) -> None:
    edit_card(folder, halo=8)
    with pytest.raises(WeightsError, match="halo"):
        load_dense(folder)


@pytest.mark.parametrize(
    "change", [{"voxel_size_angstrom": 0}, {"contrast": "unknown"}, {"surprise": 1}, {"format": 2}]
)
def test_cards_of_another_kind_are_refused(folder: Path, change: dict[str, Any]) -> None:
    edit_card(folder, **change)
    with pytest.raises(WeightsError, match="not a card"):
        load_dense(folder)


def test_missing_weights_say_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="light"):
        load_dense(tmp_path / "nowhere")
    with pytest.raises(WeightsError, match="light"):
        load_dense(tmp_path)


def test_missing_half_is_named(folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"subtomogram\.json is missing"):
        load_subtomogram(folder)
    (folder / "dense.safetensors").unlink()
    with pytest.raises(WeightsError, match="weights are not"):
        load_dense(folder)


def test_schema_is_the_models_own() -> None:
    from importlib.resources import files

    from cryosiam.weights import WeightsCard

    schema = json.loads((files("cryosiam.schemas") / "weights_card.schema.json").read_text())
    assert schema["properties"] == WeightsCard.model_json_schema()["properties"]
