"""Import of the authors' checkpoints: the same numbers come out, and what does not fit is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cryosiam.domain import SEMANTIC_CLASSES
from cryosiam.errors import StorageError, WeightsError
from cryosiam.weights import load_dense, load_dense_parts, load_pretrained, load_subtomogram, read_cards
from cryosiam.weights.importing import ImportWishes, import_checkpoint
from cryosiam.weights.upstream import CLASS_ORDER, UpstreamTask
from cryosiam.weights.verify import verify_weights

from .upstream_layout import (
    HEADS,
    Layout,
    dense_embedding,
    encode,
    predict,
    project,
    pyramid,
    state_of,
    subtomogram_outputs,
    task_output,
    write_checkpoint,
)

TIGHT = {"rtol": 1e-5, "atol": 1e-5}
X = torch.rand((2, 1, 16, 24, 16), generator=torch.Generator().manual_seed(3))
CUBES = torch.rand((3, 1, 16, 16, 16), generator=torch.Generator().manual_seed(4))


def bring_in(tmp_path: Path, task: str, state: dict[str, Tensor] | None = None, **wishes: Any) -> Path:
    path = write_checkpoint(tmp_path / f"{task}.ckpt", state or state_of(task))
    import_checkpoint(path, UpstreamTask(task), tmp_path / "out", ImportWishes(**wishes))
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("task", "theirs", "ours"),
    [
        ("denoise", "cnn_head", "denoise"),
        ("lamella", "semantic_head", "sample"),
        ("instance", "foreground_head", "foreground"),
        ("instance", "distance_head", "distance"),
        ("instance", "boundary_head", "boundary"),
    ],
)
@torch.no_grad()
def test_dense_tasks_answer_as_theirs(tmp_path: Path, task: str, theirs: str, ours: str) -> None:
    state = state_of(task)
    network = load_dense(bring_in(tmp_path, task, state)).network
    torch.testing.assert_close(network(X)[ours], task_output(state, theirs, X), **TIGHT)


@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_semantic_classes_come_in_our_order(tmp_path: Path, bias: bool) -> None:
    state = Layout().task(HEADS["semantic"], bias=bias)
    loaded = load_dense(bring_in(tmp_path, "semantic", state))
    assert loaded.card.semantic_classes == SEMANTIC_CLASSES
    order = [CLASS_ORDER.index(name) for name in SEMANTIC_CLASSES]
    assert order != sorted(order)
    for theirs, ours in (("semantic_head", "semantic"), ("distance_head", "class_distance")):
        torch.testing.assert_close(loaded.network(X)[ours], task_output(state, theirs, X)[:, order], **TIGHT)


@torch.no_grad()
def test_named_classes_keep_their_channels(tmp_path: Path) -> None:
    state = Layout().task({"semantic_head": 3, "distance_head": 3})
    loaded = load_dense(bring_in(tmp_path, "semantic", state, classes=("background", "ribosome", "proteasome")))
    assert loaded.card.semantic_classes == ("background", "ribosome", "proteasome")
    torch.testing.assert_close(loaded.network(X)["semantic"], task_output(state, "semantic_head", X), **TIGHT)


@torch.no_grad()
def test_one_class_is_as_likely_against_its_background(tmp_path: Path) -> None:
    state = Layout().task({"semantic_head": 1, "distance_head": 1})
    loaded = load_dense(bring_in(tmp_path, "semantic", state, classes=("background", "ribosome")))
    likely = loaded.network(X)["semantic"].softmax(dim=1)[:, 1:]
    torch.testing.assert_close(likely, task_output(state, "semantic_head", X).sigmoid(), **TIGHT)


@torch.no_grad()
def test_pretraining_projects_and_predicts_as_theirs(tmp_path: Path) -> None:
    state = state_of("pretraining")
    model = load_pretrained(bring_in(tmp_path, "pretraining", state)).model
    features = encode(state, "_model.encoder", X)
    levels = pyramid(state, "_model.decoder", features)
    pooled, dense, coarse = model.represent(X)
    z = dense_embedding(state, "_model", X)
    torch.testing.assert_close(dense, z, **TIGHT)
    torch.testing.assert_close(model.dense_predictor(dense), predict(state, "_model.predictor", z), **TIGHT)
    whole = project(state, "_model.global_projector", features[-1].mean(dim=(2, 3, 4)))
    torch.testing.assert_close(pooled, whole, **TIGHT)
    torch.testing.assert_close(
        model.global_predictor(pooled), predict(state, "_model.global_predictor", whole), **TIGHT
    )
    for stride, ours, predictor in zip((2, 4, 8), coarse, model.level_predictors, strict=True):
        level = project(state, f"_model.level_projector_{stride}", levels[stride])
        torch.testing.assert_close(ours, level, **TIGHT)
        torch.testing.assert_close(predictor(ours), predict(state, f"_model.level_predictor_{stride}", level), **TIGHT)


@pytest.mark.parametrize(
    ("task", "wish", "variant"),
    [
        ("simsiam", None, 0),
        ("contrastive", None, 1),
        ("simsiam", "predictor", 1),
        ("contrastive", "projector", 0),
    ],
)
@torch.no_grad()
def test_both_embeddings_are_theirs(tmp_path: Path, task: str, wish: str | None, variant: int) -> None:
    state = state_of(task)
    loaded = load_subtomogram(bring_in(tmp_path, task, state, embedding=wish))
    theirs = torch.nn.functional.normalize(subtomogram_outputs(state, CUBES)[variant], dim=1)
    torch.testing.assert_close(loaded.network(CUBES), theirs, **TIGHT)
    assert loaded.card.network.box == 16
    assert loaded.classifier == {}


@torch.no_grad()
def test_the_published_widths_make_our_full_network(tmp_path: Path) -> None:
    from cryosiam.networks.config import DENSE_PRESETS, SUBTOMOGRAM_PRESETS

    layout = Layout.published()
    state = layout.dense("_model")
    own = [v for k, v in state.items() if not k.startswith("_model.encoder.fc.") and "running" not in k]
    # The number that others counted in the published file; it settles where biases are.
    assert sum(v.numel() for v in own if v.is_floating_point()) == 15_345_088
    small = X[:1, :, :8, :8, :8]
    folder = bring_in(tmp_path, "pretraining", state)
    loaded = load_pretrained(folder)
    assert loaded.card.network.dense == DENSE_PRESETS["full"]
    torch.testing.assert_close(loaded.model.represent(small)[1], dense_embedding(state, "_model", small), **TIGHT)
    state = layout.subtomogram()
    bring_in(tmp_path, "simsiam", state)
    network = load_subtomogram(folder).network
    assert network.config.encoder == SUBTOMOGRAM_PRESETS["full"].encoder
    assert network.config.embedding_channels == SUBTOMOGRAM_PRESETS["full"].embedding_channels
    torch.testing.assert_close(network.project(small), subtomogram_outputs(state, small)[0], **TIGHT)


def test_one_folder_takes_every_task_and_is_in_order(tmp_path: Path) -> None:
    for task in UpstreamTask:
        if task is not UpstreamTask.CONTRASTIVE:
            bring_in(tmp_path, task)
    parts = load_dense_parts(tmp_path / "out")
    assert [part.card.part for part in parts] == ["denoise", "instance", "lamella", "semantic"]
    assert {card.name for card in read_cards(tmp_path / "out")} == {
        *("denoise", "instance", "lamella", "semantic", "pretraining", "simsiam")
    }
    verdicts = verify_weights(str(tmp_path / "out"))
    assert [verdict.fault for verdict in verdicts] == [None] * 6


def test_only_the_model_is_kept(tmp_path: Path) -> None:
    folder = bring_in(tmp_path, "denoise")
    size = (folder / "dense-denoise.safetensors").stat().st_size
    kept = sum(v.numel() * 4 for v in load_dense(folder).network.state_dict().values())
    assert size < kept + 20_000
    card = load_dense(folder).card
    assert card.training.parameters["epoch"] == 599
    assert card.training.parameters["settings"]["config"]["parameters"]["network"] == {"dense_dim": 64}
    assert any("6.8" in assumption for assumption in card.assumptions)


@torch.no_grad()
def test_half_precision_is_half_the_size_and_near(tmp_path: Path) -> None:
    state = state_of("denoise")
    state["_model.cnn_head.1.running_var"] *= 1e6
    path = write_checkpoint(tmp_path / "a.ckpt", state)
    for name, half in (("whole", False), ("half", True)):
        import_checkpoint(path, UpstreamTask.DENOISE, tmp_path / name, ImportWishes(half=half))
    whole, halved = (tmp_path / name / "dense-denoise.safetensors" for name in ("whole", "half"))
    assert halved.stat().st_size < 0.7 * whole.stat().st_size
    torch.testing.assert_close(
        load_dense(halved.parent).network(X)["denoise"], task_output(state, "cnn_head", X), rtol=2e-2, atol=2e-2
    )


class _Command:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.mark}'",)


@pytest.mark.parametrize("where", ["hyper_parameters", "callbacks", "state_dict"])
def test_a_checkpoint_with_code_is_refused_and_not_run(tmp_path: Path, where: str) -> None:
    mark = tmp_path / "it ran"
    state: dict[str, Any] = dict(state_of("denoise"))
    if where == "state_dict":
        state["_model.cnn_head.0.weight"] = _Command(mark)
        path = write_checkpoint(tmp_path / "bad.ckpt", state)
    else:
        path = write_checkpoint(tmp_path / "bad.ckpt", state, **{where: {"x": _Command(mark)}})
    with pytest.raises(WeightsError, match=r"bad\.ckpt holds more than tensors .*system.* not read"):
        import_checkpoint(path, UpstreamTask.DENOISE, tmp_path / "out")
    assert not mark.exists()
    assert not (tmp_path / "out").exists()


def test_what_schedulers_and_callbacks_leave_does_no_harm(tmp_path: Path) -> None:
    import numpy as np

    more = {"lr_schedulers": [{"anneal": torch.optim.lr_scheduler.OneCycleLR._annealing_cos, "base": np.float64(1.0)}]}
    path = write_checkpoint(tmp_path / "a.ckpt", state_of("denoise"), **more, dirpath=Path("somewhere"))
    assert import_checkpoint(path, UpstreamTask.DENOISE, tmp_path / "out").heads == ("denoise",)


def without(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key != name}


BAD: dict[str, tuple[Any, str]] = {
    "another task": (lambda: state_of("instance"), "is for instance, not for denoise.*--task instance"),
    "another program": (lambda: {"net.weight": torch.zeros(2)}, "not a checkpoint of the authors.*net.weight"),
    "a missing tensor": (
        lambda: without(state_of("denoise"), "_model_backbone.decoder.layer2.bias"),
        r"lacks the tensors for trunk\.pyramid\.laterals\.2\.bias",
    ),
    "an unknown tensor": (
        lambda: {**state_of("denoise"), "_model.cnn_head.9.weight": torch.zeros(3)},
        r"unknown tensors _model\.cnn_head\.9\.weight",
    ),
    "an unknown part": (
        lambda: {**state_of("denoise"), "_model_backbone.attention.weight": torch.zeros(3)},
        r"does not have: _model_backbone\.attention\.weight",
    ),
    "another shape": (
        lambda: {**state_of("denoise"), "_model_backbone.encoder.layer3.0.conv1.weight": torch.zeros(10, 9, 3, 3, 3)},
        r"another shape: _model_backbone\.encoder\.layer3\.0\.conv1\.weight is 10 x 9 x 3 x 3 x 3 and should be 10 x 8",
    ),
    "NaN": (
        lambda: {**state_of("denoise"), "_model.cnn_head.6.bias": torch.tensor([float("nan")])},
        r"NaN.*_model\.cnn_head\.6\.bias",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_does_not_fit_is_named_and_good_weights_stay(tmp_path: Path, kind: str) -> None:
    folder = bring_in(tmp_path, "denoise")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    make, message = BAD[kind]
    path = write_checkpoint(tmp_path / "bad.ckpt", make())
    with pytest.raises(WeightsError, match=message) as raised:
        import_checkpoint(path, UpstreamTask.DENOISE, folder, overwrite=True)
    assert "bad.ckpt" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_weights_are_replaced_only_when_asked(tmp_path: Path) -> None:
    folder = bring_in(tmp_path, "denoise", name="first")
    path = tmp_path / "denoise.ckpt"
    with pytest.raises(WeightsError, match="--overwrite"):
        import_checkpoint(path, UpstreamTask.DENOISE, folder, ImportWishes("second"))
    assert load_dense(folder).card.name == "first"
    import_checkpoint(path, UpstreamTask.DENOISE, folder, ImportWishes("second"), overwrite=True)
    assert load_dense(folder).card.name == "second"


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "not a checkpoint"), (b"hello" * 100, "not a checkpoint"), (None, "there is no file")],
)
def test_files_of_another_kind_are_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "x.ckpt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        import_checkpoint(path, UpstreamTask.DENOISE, tmp_path / "out")


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "x.ckpt", state_of("denoise"))
    with pytest.raises(StorageError, match="is a file or inside one"):
        import_checkpoint(path, UpstreamTask.DENOISE, path)


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "x.ckpt", state_of("denoise"))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(WeightsError, match="damaged"):
        import_checkpoint(path, UpstreamTask.DENOISE, tmp_path / "out")


@pytest.mark.parametrize(
    ("task", "wishes", "message"),
    [
        ("semantic", {"classes": ("background", "membrane")}, "names 2 classes and the network has 6"),
        ("denoise", {"classes": ("background", "membrane")}, "--classes is for semantic"),
        ("denoise", {"embedding": "predictor"}, "--embedding and --crops are for simsiam"),
    ],
)
def test_wishes_that_do_not_apply_are_refused(tmp_path: Path, task: str, wishes: dict[str, Any], message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        bring_in(tmp_path, task, **wishes)
