"""One task at a time: what is frozen stays, networks are put together, and `pick` finds what it needs."""

import copy
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cryosiam.cli.networks_used import networks_used
from cryosiam.domain import SEMANTIC_CLASSES, Contrast
from cryosiam.errors import InputError, TrainingError, WeightsError
from cryosiam.networks.config import DENSE_HEADS, DENSE_PRESETS, DenseConfig, EncoderConfig
from cryosiam.networks.dense import DenseNetwork
from cryosiam.training.augment.augmentation import AugmentationRecipe
from cryosiam.training.dense import dense_task
from cryosiam.training.head_losses import HEADS, HeadTask
from cryosiam.training.heads import HeadChoice, heads_task, train_heads
from cryosiam.training.keeping import HeadLosses
from cryosiam.training.labelled import LabelledSource
from cryosiam.training.labelled_scenes import LabelledScene, LabelVolume, store_labelled
from cryosiam.training.limits import Limits
from cryosiam.training.starting import open_start, starting_network
from cryosiam.weights import Task, load_dense, load_dense_parts, read_cards, save_weights

from .toy_labels import OPTIMISER, RECIPE, VOXEL, grid_of, labelled, sheet, silent

TINY = DenseConfig(
    encoder=EncoderConfig(stem_kernel=3, stem_stride=2, planes=(4, 8)),
    fpn_channels=8,
    embedding_channels=8,
    head_channels=(8,),
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> LabelledScene:
    return store_labelled(tmp_path_factory.mktemp("scenes"), labelled(), VOXEL)


@pytest.fixture
def source(scene: LabelledScene) -> LabelledSource:
    return LabelledSource((scene,), VOXEL, AugmentationRecipe(orient=False, grey=False))


def write_start(folder: Path, heads: tuple[str, ...] = tuple(DENSE_HEADS), seed: int = 3, **card: object) -> Path:
    """Write random dense weights, with batch statistics that are not those of a fresh network."""
    torch.manual_seed(seed)
    network = DenseNetwork(TINY, heads).train()
    with torch.no_grad():
        network(torch.randn(2, 1, 16, 16, 16))
    given = {
        "name": "tiny",
        "task": Task.DENSE,
        "network": TINY,
        "heads": heads,
        "semantic_classes": SEMANTIC_CLASSES if "semantic" in heads else (),
        "voxel_size_angstrom": VOXEL,
        "contrast": Contrast.DARK,
        "halo": network.halo,
        "training": {"recipe": "none", "data": "none", "hours": 0.0, "machine": "none"},
    }
    save_weights(folder, network, given | card)
    return folder


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.half() for name, value in network.state_dict().items() if value.is_floating_point()}


def same(a: nn.Module, b: nn.Module) -> bool:
    mine, theirs = state(a), state(b)
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_frozen_trunk_stays_and_heads_share_it(tmp_path: Path, source: LabelledSource, scene: LabelledScene) -> None:
    start = write_start(tmp_path / "start")
    out, limits = tmp_path / "out", Limits()
    card = train_heads(RECIPE, "semantic", source, [scene], out, limits, silent, start=start, freeze_trunk=True)
    before, after = load_dense(start).network, load_dense(out / "weights").network
    assert card is not None
    assert card.stem == "dense"
    assert set(card.accuracy) >= {"dice_membrane", "dice_particle"}
    assert same(before.trunk, after.trunk)
    for head in DENSE_HEADS:
        assert same(before.task_heads[head], after.task_heads[head]) == (head != "semantic")


def test_a_trunk_that_learns_gets_a_file_of_its_own(
    tmp_path: Path, source: LabelledSource, scene: LabelledScene
) -> None:
    start, out = write_start(tmp_path / "start"), tmp_path / "out"
    for task in ("semantic", "instance"):
        assert train_heads(RECIPE, task, source, [scene], out, Limits(), silent, start=start) is not None  # type: ignore[arg-type]
    cards = {card.stem: card.heads for card in read_cards(out / "weights", Task.DENSE)}
    assert cards == {
        "dense-denoise-lamella": ("denoise", "sample"),
        "dense-semantic": ("semantic",),
        "dense-instance": ("foreground", "distance", "boundary"),
    }
    assert networks_used(str(out / "weights"), "instances").heads


def test_on_denoised_the_networks_are_chained(tmp_path: Path, source: LabelledSource, scene: LabelledScene) -> None:
    start, out = write_start(tmp_path / "start", ("denoise", "sample")), tmp_path / "out"
    for task in ("semantic", "instance"):
        train_heads(
            RECIPE,
            task,  # type: ignore[arg-type]
            source,
            [scene],
            out,
            Limits(),
            silent,
            start=start,
            freeze_trunk=True,
            on_denoised=True,
        )
    parts = {part.card.stem: part.card for part in load_dense_parts(out / "weights")}
    assert parts["dense"].input == "tomogram"
    # Both have the trunk that denoised, frozen, so they share a file.
    assert parts["dense-semantic-instance"].input == "denoised"
    assert set(networks_used(str(out / "weights"), "instances").heads) == set(DENSE_HEADS)


@pytest.mark.slow
def test_pick_runs_on_networks_in_a_chain(tmp_path: Path, source: LabelledSource, scene: LabelledScene) -> None:
    out, start = tmp_path / "out", Path("light")
    train_heads(RECIPE, "semantic", source, [scene], out, Limits(), silent, start=start, on_denoised=True)
    assert [(card.stem, card.input) for card in read_cards(out / "weights", Task.DENSE)] == [
        ("dense-denoise-lamella-instance", "tomogram"),
        ("dense-semantic", "denoised"),
    ]
    with mrcfile.new(tmp_path / "toy.mrc", data=np.asarray(scene.array("noisy"), np.float32)) as file:
        file.voxel_size = VOXEL
    options = ["--mrc", str(tmp_path / "toy.mrc"), "--weights", str(out / "weights"), "--out", str(tmp_path / "p")]
    done = subprocess.run(["cryosiam", "pick", *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "p").rglob("*semantic*"))


def test_the_denoiser_in_front_does_not_learn(tmp_path: Path, source: LabelledSource, scene: LabelledScene) -> None:
    start = open_start(write_start(tmp_path), RECIPE)
    denoiser = start.dense[0].network
    before = copy.deepcopy(denoiser)
    task = heads_task(RECIPE, HeadChoice(HeadTask.SEMANTIC, denoiser=denoiser), source, [scene], start)
    assert task.frozen == ("denoiser",)
    batch = task.batches(0)
    assert batch["limits"].shape == (2, 2)
    assert (batch["limits"][:, 0] < batch["limits"][:, 1]).all()
    task.model.get_submodule("denoiser").eval()
    task.losses(task.model, batch)["total"].backward()
    assert all(parameter.grad is None for parameter in denoiser.parameters())
    assert same(before, denoiser)
    assert task.validate is not None
    assert 0 <= task.validate(task.model)["score"] <= 1


def test_heads_without_labels_are_held_to_what_they_said(tmp_path: Path, scene: LabelledScene) -> None:
    store = store_labelled(
        tmp_path / "scenes",
        labelled(volumes=(LabelVolume("membrane", grid_of(sheet())),), picks=None, clean=None, sample=None),
        VOXEL,
    )
    start = open_start(write_start(tmp_path / "start"), RECIPE)
    task = dense_task(RECIPE, LabelledSource((store,), VOXEL), [store], start)
    assert isinstance(task.losses, HeadLosses)
    assert task.losses.tasks == (HeadTask.SEMANTIC,)
    assert set(task.losses.kept) == set(HeadTask) - {HeadTask.SEMANTIC}
    batch = task.batches(0)
    task.model.eval()
    kept = task.losses(task.model, batch)
    assert kept["denoise"].item() == pytest.approx(0, abs=1e-9)
    with torch.no_grad():
        next(task.model.parameters()).add_(0.5)
    assert task.losses(task.model, batch)["denoise"].item() > 1e-6


def test_without_a_denoiser_before_there_is_no_head_for_it(tmp_path: Path) -> None:
    store = store_labelled(tmp_path / "scenes", labelled(clean=None), VOXEL)
    task = dense_task(RECIPE, LabelledSource((store,), VOXEL), [store])
    assert isinstance(task.model, DenseNetwork)
    assert "denoise" not in task.model.heads


def test_a_fresh_network_depends_on_the_seed_alone() -> None:
    torch.manual_seed(99)
    before = torch.get_rng_state()
    networks = [starting_network(RECIPE, tuple(DENSE_HEADS), None) for _ in range(2)]
    assert same(*networks)
    assert torch.equal(before, torch.get_rng_state())
    assert networks[0].config == DENSE_PRESETS["light"]


@pytest.mark.parametrize("task", list(HeadTask))
def test_each_task_learns_from_any_weights(tmp_path: Path, source: LabelledSource, task: HeadTask) -> None:
    """A few steps on one batch lower the loss, for every task."""
    start = open_start(write_start(tmp_path, ("denoise",)), RECIPE)
    planned = heads_task(RECIPE, HeadChoice(task), source, [], start)
    assert isinstance(planned.model, DenseNetwork)
    assert planned.model.heads == HEADS[task]
    batch = planned.batches(0)
    optimiser = torch.optim.AdamW(planned.model.parameters(), 0.01)
    planned.model.train()
    totals = []
    for _ in range(12):
        total = planned.losses(planned.model, batch)["total"]
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(float(total.detach()))
    assert min(totals[-3:]) < 0.8 * totals[0]


def test_what_does_not_fit_gets_a_sentence(tmp_path: Path, source: LabelledSource, scene: LabelledScene) -> None:
    limits = Limits()
    start = write_start(tmp_path / "start", ("semantic",))
    with pytest.raises(WeightsError, match="needs a denoiser, and neither"):
        train_heads(RECIPE, "instance", source, [scene], tmp_path, limits, silent, start=start, on_denoised=True)
    with pytest.raises(TrainingError, match="leave out --on-denoised"):
        train_heads(RECIPE, "denoise", source, [scene], tmp_path, limits, silent, start=start, on_denoised=True)
    with pytest.raises(WeightsError, match=r"are for voxels of 20 Å and recipe 'light' has 10 Å"):
        open_start(write_start(tmp_path / "coarse", voxel_size_angstrom=20.0), RECIPE)
    with pytest.raises(WeightsError, match="weights that were imported cannot be trained on"):
        open_start(write_start(tmp_path / "bright", contrast=Contrast.BRIGHT), RECIPE)
    odd = RECIPE.model_copy(update={"patch_zyx": (16, 32, 33)})
    with pytest.raises(InputError, match="16 x 32 x 33 voxels; the network needs multiples of 4"):
        heads_task(odd, HeadChoice(HeadTask.SEMANTIC), source, [], open_start(start, RECIPE))
    store = store_labelled(tmp_path / "bare", labelled(sample=None), VOXEL)
    with pytest.raises(TrainingError, match="no labels for the task 'lamella'"):
        heads_task(RECIPE, HeadChoice(HeadTask.LAMELLA), LabelledSource((store,), VOXEL), [], open_start(start, RECIPE))


def test_time_that_runs_out_writes_no_weights(tmp_path: Path, source: LabelledSource) -> None:
    start = write_start(tmp_path / "start")
    recipe = RECIPE.model_copy(update={"dense": OPTIMISER.model_copy(update={"steps": 50})})
    limits = Limits(time_budget_s=0.0)
    assert train_heads(recipe, "semantic", source, [], tmp_path / "out", limits, silent, start=start) is None
    assert not (tmp_path / "out" / "weights").exists()
