"""Two views of a patch: they overlap where they say, on every grid of the network, and are changed independently."""

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosiam.networks.simsiam import crop
from cryosiam.training.augment.views import ViewRecipe
from cryosiam.training.task import Batches
from cryosiam.training.two_views import SelfSupervision, TwoViewBatches, draw_crops

UNCHANGED = ViewRecipe(
    low_pass_sigma_voxels=None,
    high_pass_narrow_sigma_voxels=None,
    high_pass_wide_sigma_voxels=None,
    noise_sigma=None,
    masked_share=None,
)


class Numbered:
    """Patches whose voxels tell where in the patch they lie."""

    def batches(self, size_zyx: tuple[int, int, int], batch: int, seed: int) -> Batches:
        numbers = torch.arange(math.prod(size_zyx), dtype=torch.float32).reshape(1, 1, *size_zyx)
        return lambda number: {"noisy": numbers.expand(batch, 1, *size_zyx)}


SIZES = st.tuples(*[st.integers(1, 4)] * 3)


@settings(max_examples=50)
@given(
    view=SIZES,
    room=SIZES,
    stride=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 2**32 - 1),
)
def test_overlap_regions_of_both_views_show_the_same_voxels(
    view: tuple[int, int, int], room: tuple[int, int, int], stride: int, seed: int
) -> None:
    size = (view[0] * stride, view[1] * stride, view[2] * stride)
    extra = [min(r * stride + 1, n - 1) for r, n in zip(room, size, strict=True)]
    patch = (size[0] + extra[0], size[1] + extra[1], size[2] + extra[2])
    crops = draw_crops(patch, size, stride, np.random.default_rng(seed))
    voxels = torch.arange(math.prod(patch)).reshape(1, 1, *patch)
    first, second = (voxels[0, 0][crops.slices(side)][None, None] for side in (0, 1))
    assert first.shape == second.shape == (1, 1, *size)
    seen = crop(first, crops.overlap(0), 1)
    assert torch.equal(seen, crop(second, crops.overlap(1), 1))
    # Nothing that both show is left out.
    assert set(seen.flatten().tolist()) == set(first.flatten().tolist()) & set(second.flatten().tolist())
    # The same at the coarsest stride, where a cell is named by its first voxel.
    coarse = [one[..., ::stride, ::stride, ::stride] for one in (first, second)]
    assert torch.equal(crop(coarse[0], crops.overlap(0), stride), crop(coarse[1], crops.overlap(1), stride))


def test_batches_cut_views_where_they_say_and_come_again() -> None:
    plan = SelfSupervision(patch_zyx=(24, 24, 24), view_zyx=(16, 16, 16), views=UNCHANGED)
    made = [TwoViewBatches(Numbered().batches(plan.patch_zyx, 3, 1), plan, 4, 1) for _ in range(2)]
    starts = set()
    for number in range(8):
        batch, again = made[0](number), made[1](number)
        assert all(torch.equal(batch[name], again[name]) for name in batch)
        assert all(len(value) == 3 for value in batch.values())
        (a1, b1), (a2, b2) = batch["overlap"][0].tolist()
        first, second = crop(batch["view1"], (a1, b1), 1), crop(batch["view2"], (a2, b2), 1)
        assert torch.equal(first, second)
        starts.add(batch["view1"][0, 0, 0, 0, 0].item())
    assert len(starts) > 1


def test_views_are_changed_each_in_its_own_way() -> None:
    masked = UNCHANGED.model_copy(update={"masked_share": (0.3, 0.3)})
    plan = SelfSupervision(patch_zyx=(16, 16, 16), view_zyx=(16, 16, 16), views=masked)
    batch = TwoViewBatches(Numbered().batches(plan.patch_zyx, 2, 1), plan, 4, 1)(0)
    assert not torch.equal(batch["view1"], batch["view2"])
    assert not torch.equal(batch["view1"][0], batch["view1"][1])
