"""The dense network: what it sees, what it gives, and that folding changes nothing."""

import pytest
import torch
from torch import nn

from cryosiam.networks.config import DENSE_HEADS, DENSE_PRESETS, DenseConfig, EncoderConfig
from cryosiam.networks.dense import DenseNetwork, depth_to_space, measured_radius
from cryosiam.networks.folding import fold_batch_norms

SMALL = DenseConfig(
    encoder=EncoderConfig(stem_kernel=5, stem_stride=2, planes=(4, 6, 8)),
    fpn_channels=8,
    embedding_channels=8,
    head_channels=(4,),
)


def with_statistics(network: DenseNetwork) -> DenseNetwork:
    """Give every batch norm statistics that are not the identity."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.2)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
    return network.eval()


def test_every_head_answers_at_full_resolution() -> None:
    network = with_statistics(DenseNetwork(SMALL))
    with torch.no_grad():
        out = network(torch.randn(2, 1, 16, 24, 32))
    assert {name: tuple(value.shape) for name, value in out.items()} == {
        name: (2, channels, 16, 24, 32) for name, channels in DENSE_HEADS.items()
    }


def test_only_the_heads_asked_for_are_computed() -> None:
    network = with_statistics(DenseNetwork(SMALL))
    with torch.no_grad():
        assert list(network(torch.zeros(1, 1, 16, 16, 16), ["denoise"])) == ["denoise"]


def test_the_stated_halo_covers_everything_a_voxel_reaches() -> None:
    torch.manual_seed(0)
    network = with_statistics(DenseNetwork(SMALL))
    reach = measured_radius(network, 2 * network.halo + network.multiple)
    assert 0.75 * network.halo < reach <= network.halo


def test_presets_have_the_shape_of_the_thesis() -> None:
    full = DenseNetwork(DENSE_PRESETS["full"], ["denoise"])
    encoder = sum(p.numel() for p in full.trunk.encoder.parameters())
    assert full.trunk.config.embedding_channels == 64
    # 14.356 M parameters is what this ResNet-10 comes to; its shortcuts here have no bias.
    assert encoder == pytest.approx(14.356e6, rel=1e-3)
    assert DenseNetwork(DENSE_PRESETS["light"]).halo == 48


def test_folded_norms_give_the_same_answer() -> None:
    torch.manual_seed(0)
    network = with_statistics(DenseNetwork(SMALL))
    folded = fold_batch_norms(network)
    assert not any(isinstance(module, nn.BatchNorm3d) for module in folded.modules())
    x = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        before, after = network(x), folded(x)
    for name in before:
        torch.testing.assert_close(after[name], before[name], rtol=1e-4, atol=1e-5)


def test_depth_to_space_puts_each_value_in_its_place() -> None:
    x = torch.arange(8.0).reshape(1, 8, 1, 1, 1)
    assert depth_to_space(x, 2)[0, 0].tolist() == [[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0], [6.0, 7.0]]]
