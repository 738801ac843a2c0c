"""Missing wedges: what is taken out, along which axis, on which side, and nothing else."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cryosiam.domain import MissingWedge
from cryosiam.tomography.back_projection import back_project, r_weight
from cryosiam.tomography.projection import project
from cryosiam.training.augment.wedge import WedgeRecipe, wedge_factor, without_wedge

SIZE = 40


def noise(size: int = SIZE) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(3).standard_normal((size,) * 3).astype(np.float32))


def frequencies(size: int = SIZE) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    k = torch.fft.fftfreq(size)
    return k[:, None, None], k[None, :, None], k[None, None, :]


def power(volume: torch.Tensor) -> torch.Tensor:
    """Power on the full Fourier grid, of the windowed volume, so that its faces leave no cross."""
    window = torch.sin(torch.pi * (torch.arange(len(volume)) + 0.5) / len(volume)) ** 2
    values = (volume - volume.mean()) * window[:, None, None] * window[:, None] * window
    return torch.fft.fftn(values).abs() ** 2


def missing(wedge: MissingWedge, turned_deg: float = 0.0) -> torch.Tensor:
    """Frequencies more than 3.5 steps of Fourier space away from all that was seen.

    One step is the soft edge, two the reach of the window. The window also joins opposite ends of an axis: near the
    highest frequency what is missing there borders on what is seen.
    """
    kz, ky, kx = frequencies()
    far = wedge_factor(kz, ky, kx, wedge, turned_deg, softness=3.5 / SIZE) == 0
    return far & (torch.maximum(torch.maximum(kz.abs(), ky.abs()), kx.abs()) < 0.5 - 2.5 / SIZE)


@pytest.mark.parametrize(
    ("wedge", "turned_deg"),
    [
        (MissingWedge(-50, 40), 0.0),
        (MissingWedge(-20, 60), 0.0),
        (MissingWedge(10, 60), 0.0),
        (MissingWedge(-60, 30, "x"), 0.0),
        (MissingWedge(-60, 30), 37.0),
    ],
)
def test_no_energy_is_left_in_the_wedge_and_the_rest_stays(wedge: MissingWedge, turned_deg: float) -> None:
    before, after = power(noise()), power(without_wedge(noise(), wedge, turned_deg))
    gone = missing(wedge, turned_deg)
    seen = wedge_factor(*frequencies(), wedge, turned_deg, softness=1e-6) == 1
    assert 0.05 < float(gone.float().mean()) < 0.8
    assert float(after[gone].sum() / before[gone].sum()) < 0.005
    assert float(after[seen].sum() / before[seen].sum()) == pytest.approx(1, abs=0.1)


@settings(deadline=None, max_examples=60)
@given(low=st.floats(-80, 20), span=st.floats(20, 70), tilt=st.floats(-90, 90), turn=st.floats(-180, 180))
def test_a_frequency_is_kept_if_its_tilt_was_taken(low: float, span: float, tilt: float, turn: float) -> None:
    wedge = MissingWedge(low, low + span)
    if min(abs(tilt - low), abs(tilt - low - span)) < 0.5 or low + span > 90:
        return
    t, a = np.deg2rad([tilt, turn])
    along_axis = 0.13
    # One frequency of the image at this tilt; the axis, first along y, is turned about z from x to y.
    across = np.array([np.cos(a), np.sin(a), 0]) * np.cos(t) + np.array([0, 0, 1]) * np.sin(t)
    axis = np.array([-np.sin(a), np.cos(a), 0])
    for sign in (1, -1):
        kx, ky, kz = (torch.tensor(v) for v in sign * (0.3 * across + along_axis * axis))
        kept = float(wedge_factor(kz, ky, kx, wedge, turn))
        assert kept == (1.0 if low < tilt < low + span else 0.0)


def test_axis_and_hand_are_those_of_a_reconstruction() -> None:
    wedge = MissingWedge(5, 65)
    tilts = np.arange(5, 66, 2.0)
    images = r_weight(project(noise().numpy(), tilts, image_width=SIZE), oversampling=4)
    reconstructed = power(torch.from_numpy(back_project(images, tilts, SIZE, threads=1, oversampling=4)))
    for same in (wedge, MissingWedge(5, 65, "x"), MissingWedge(-65, -5)):
        share = float(reconstructed[missing(same)].sum() / reconstructed.sum())
        assert (share < 0.005) == (same is wedge)


@pytest.mark.parametrize("wedge", [MissingWedge(-90, 90), MissingWedge(-90, 90, "x"), MissingWedge(0, 180)])
def test_without_a_missing_wedge_nothing_changes(wedge: MissingWedge) -> None:
    torch.testing.assert_close(without_wedge(noise(), wedge, 25.0), noise(), rtol=0, atol=1e-5)


def test_what_lies_at_one_face_does_not_come_in_at_the_other() -> None:
    volume = torch.zeros(SIZE, SIZE, SIZE)
    volume[1:3, 18:22, 18:22] = 100.0
    streaked = (without_wedge(volume, MissingWedge(-45, 45)) - volume).abs()
    assert float(streaked[:10].max()) > 20
    assert float(streaked[-4:].max()) < 0.01 * float(streaked.max())


@pytest.mark.parametrize("shape", [(1, 20, 20), (9, 30, 17), (2, 3, 4)])
def test_any_shape_goes(shape: tuple[int, int, int]) -> None:
    volume = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    filtered = without_wedge(volume, MissingWedge(-60, 60), 10)
    assert filtered.shape == shape
    assert bool(torch.isfinite(filtered).all())


def test_drawn_wedges_lie_in_range_and_repeat() -> None:
    recipe = WedgeRecipe(tilt_limit_deg=(40, 70))
    drawn = [recipe.draw(np.random.default_rng(seed)) for seed in range(50)]
    assert drawn[7] == recipe.draw(np.random.default_rng(7))
    assert all(-70 <= w.tilt_min_deg <= -40 and 40 <= w.tilt_max_deg <= 70 and 0 <= a <= 180 for w, a in drawn)
    assert any(abs(w.tilt_min_deg + w.tilt_max_deg) > 10 for w, _ in drawn)
    assert max(a for _, a in drawn) > 150
    assert WedgeRecipe(any_axis=False).draw(np.random.default_rng(1))[1] == 0
    with pytest.raises(ValidationError):
        WedgeRecipe(tilt_limit_deg=(40, 100))
