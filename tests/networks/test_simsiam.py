"""Self-supervised wrappers: gradients stop where they must, and the overlap is the overlap."""

import pytest
import torch

from cryosiam.networks.config import DenseConfig, EncoderConfig, SubtomogramConfig
from cryosiam.networks.folding import fold_batch_norms
from cryosiam.networks.simsiam import DenseSimSiam, SimSiam, crop, negative_cosine, symmetric_loss

ENCODER = EncoderConfig(stem_kernel=3, stem_stride=2, planes=(4, 8))


def test_negative_cosine_of_parallel_and_orthogonal_vectors() -> None:
    a = torch.tensor([[2.0, 0.0]])
    assert negative_cosine(a, torch.tensor([[5.0, 0.0]])).item() == pytest.approx(-1.0)
    assert negative_cosine(a, torch.tensor([[0.0, 3.0]])).item() == pytest.approx(0.0)


def test_no_gradient_reaches_the_target_side() -> None:
    z1, z2 = (torch.randn(3, 4, requires_grad=True) for _ in range(2))
    p1, p2 = (torch.randn(3, 4, requires_grad=True) for _ in range(2))
    symmetric_loss(p1, z1, p2, z2).backward()
    assert p1.grad is not None
    assert p2.grad is not None
    assert z1.grad is None
    assert z2.grad is None


def test_simsiam_learns_from_two_views() -> None:
    torch.manual_seed(0)
    model = SimSiam(SubtomogramConfig(encoder=ENCODER, box=8, embedding_channels=16))
    views = torch.randn(4, 1, 8, 8, 8)
    loss = model(views, views + 0.1 * torch.randn_like(views))
    loss.backward()
    assert -1 <= loss.item() <= 1
    assert all(p.grad is not None for p in model.parameters())


def test_embeddings_have_unit_length() -> None:
    model = SimSiam(SubtomogramConfig(encoder=ENCODER, box=8, embedding_channels=16)).network.eval()
    vectors = model(torch.randn(5, 1, 8, 8, 8))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(5))


def test_dense_losses_sum_and_reach_every_part() -> None:
    torch.manual_seed(0)
    config = DenseConfig(encoder=ENCODER, fpn_channels=8, embedding_channels=8, head_channels=(4,))
    model = DenseSimSiam(config, global_channels=16, levels=(1,))
    volume = torch.randn(2, 1, 24, 16, 16)
    view1, view2 = volume[:, :, :16], volume[:, :, 8:]
    losses = model(view1, view2, ((8, 0, 0), (16, 16, 16)), ((0, 0, 0), (8, 16, 16)))
    assert losses["total"].item() == pytest.approx(
        sum(losses[k].item() for k in ("global", "dense", "level")), rel=1e-5
    )
    losses["total"].backward()
    assert all(p.grad is not None for p in model.parameters())


def test_crop_cuts_the_same_place_on_a_coarse_map() -> None:
    x = torch.arange(8.0).reshape(1, 1, 8, 1, 1)
    assert crop(x, ((4, 0, 0), (12, 2, 2)), 2).flatten().tolist() == [2.0, 3.0, 4.0, 5.0]


def test_folded_norms_give_the_same_embeddings_in_either_memory_layout() -> None:
    torch.manual_seed(0)
    network = SimSiam(SubtomogramConfig(encoder=ENCODER, box=8, embedding_channels=16)).network
    # A pass in training mode gives every norm statistics of its own.
    network.train()(3.0 * torch.randn(32, 1, 8, 8, 8) + 1.0)
    network.eval()
    crops = torch.randn(5, 1, 8, 8, 8)
    folded = fold_batch_norms(network).to(memory_format=torch.channels_last_3d)
    assert not any("BatchNorm" in type(module).__name__ for module in folded.modules())
    with torch.inference_mode():
        found = folded(crops.to(memory_format=torch.channels_last_3d))
        torch.testing.assert_close(found, network(crops), rtol=0, atol=1e-4)
