"""Contrast is right on real tomograms and their negatives, on simulated ones, and unsure about noise."""

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from cryosiam.domain import ArrayVolume, Contrast
from cryosiam.inference.contrast import contrast_vote, guess_contrast
from cryosiam.inference.normalisation import Normalisation
from cryosiam.networks.config import DENSE_PRESETS
from cryosiam.networks.dense import DenseNetwork

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "tomograms" / "empiar10499_00254_derived"


@pytest.mark.parametrize(
    ("name", "voxel_size"), [("crop_10A_full.mrc", 10.0), ("crop_10A_even_tilts.mrc", 10.0), ("full_20A.mrc", 20.0)]
)
def test_real_tomograms_and_their_negatives(name: str, voxel_size: float) -> None:
    if not (REAL / name).is_file():
        pytest.skip(f"the real tomogram {name} is not here")
    with mrcfile.open(REAL / name) as mrc:
        array = mrc.data.astype(np.float32)
    for sign, wanted in ((1, Contrast.DARK), (-1, Contrast.BRIGHT)):
        guess = guess_contrast(ArrayVolume(sign * array), voxel_size)
        assert guess.contrast is wanted
        assert guess.confidence > 0.9


def crowded(seed: int, balls: int, gold: int = 0) -> np.ndarray:
    """Return dark balls of 100 Å radius in blurred noise at 10 Å, with very bright beads if asked for."""
    rng = np.random.default_rng(seed)
    shape = (48, 128, 128)
    grid = np.meshgrid(*map(np.arange, shape), indexing="ij")
    array = rng.normal(size=shape)
    for number, centre in enumerate(rng.uniform(0, shape, (balls + gold, 3))):
        inside = sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) < 10**2
        array[inside] += 40.0 if number >= balls else -1.0
    return ndimage.gaussian_filter(array, 1.0).astype(np.float32)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_dark_balls_are_seen_under_either_sign(seed: int) -> None:
    array = crowded(seed, balls=25)
    assert guess_contrast(ArrayVolume(array), 10.0).contrast is Contrast.DARK
    assert guess_contrast(ArrayVolume(-3.0 * array + 70.0), 10.0).contrast is Contrast.BRIGHT


@pytest.mark.parametrize("shape", [(48, 128, 128), (1, 1, 1), (3, 40, 40)])
def test_noise_leaves_it_unknown(shape: tuple[int, int, int]) -> None:
    noise = np.random.default_rng(4).normal(size=shape).astype(np.float32)
    assert guess_contrast(ArrayVolume(noise), 10.0).contrast is Contrast.UNKNOWN


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 5])
def test_simulated_tomograms(seed: int) -> None:
    from cryosiam.simulation.run import simulate
    from cryosiam.simulation.shapes import builtin_species
    from cryosiam.simulation.spec import SimulationSpec, read_spec

    demo = read_spec("demo").model_dump()
    slab = {**demo["specimen"]["slab"], "thickness_nm": 36}
    small = SimulationSpec.model_validate(
        {**demo, "shape_zyx": (48, 96, 96), "specimen": {**demo["specimen"], "slab": slab}}
    )
    noisy = simulate(small, {one.name: one for one in builtin_species(10.0)}, seed).noisy
    assert guess_contrast(ArrayVolume(noisy), 10.0).leaning is Contrast.DARK
    assert guess_contrast(ArrayVolume(-noisy), 10.0).leaning is Contrast.BRIGHT


def test_the_network_votes_for_the_sign_that_shows_it_particles() -> None:
    """A network whose foreground is a smoothed, negated copy of its input stands in for trained weights."""
    torch.manual_seed(0)
    net = DenseNetwork(DENSE_PRESETS["light"], ["foreground"]).eval()

    class Darkness(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv3d(1, net.config.embedding_channels, 2, stride=2)
            nn.init.constant_(self.stem.weight, -1.0)
            nn.init.constant_(self.stem.bias, -6.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.stem(x))

    net.trunk = Darkness()  # type: ignore[assignment]
    for parameter in net.task_heads.parameters():
        nn.init.constant_(parameter, 0.01)
    net.task_heads["foreground"].layers[-1].bias.data.fill_(-2.0)  # type: ignore[index, union-attr]
    array = crowded(6, balls=25)
    for sign, wanted in ((1, Contrast.DARK), (-1, Contrast.BRIGHT)):
        normalised = sign * (array - array.mean()) / array.std()
        guess = contrast_vote(net, ArrayVolume(normalised), Normalisation(-9, 9, 0, 1), edge=48, precision="float32")
        assert guess.contrast is wanted
    net.task_heads["foreground"].layers[-1].bias.data.fill_(-50.0)  # type: ignore[index, union-attr]
    blind = contrast_vote(net, ArrayVolume(array), Normalisation(-9, 9, 0, 1), edge=48, precision="float32")
    assert blind.contrast is Contrast.UNKNOWN
    assert blind.confidence < 0.01
