"""The collapse watch: it tells embeddings that say nothing from those that do, and stops training."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from cryosiam.errors import TrainingError
from cryosiam.training.collapse import IN_A_ROW, CollapseWatch, Health, effective_rank, measure_health
from cryosiam.training.fit import fit
from cryosiam.training.recipe import OptimiserRecipe
from cryosiam.training.task import Batch, TrainingTask

from .fitting import logged


def random(rows: int, columns: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@given(st.integers(2, 40), st.integers(0, 1000))
def test_embeddings_all_over_the_sphere_are_healthy(dimensions: int, seed: int) -> None:
    health = measure_health(random(2000, dimensions, seed))
    assert health.spread == pytest.approx(1.0, abs=0.05)
    assert health.effective_rank == pytest.approx(dimensions, rel=0.02)


@given(st.floats(1e-3, 1e3), st.integers(0, 1000))
def test_health_does_not_depend_on_length(scale: float, seed: int) -> None:
    embeddings = random(20, 6, seed)
    health, scaled = measure_health(embeddings), measure_health(scale * embeddings)
    assert scaled.spread == pytest.approx(health.spread, rel=1e-4)
    assert scaled.effective_rank == pytest.approx(health.effective_rank, rel=1e-4)


def test_a_point_and_a_line_are_collapse() -> None:
    point = measure_health(torch.ones(32, 8) + 1e-4 * random(32, 8))
    assert point.spread < 1e-3
    assert point.collapsed
    line = measure_health(torch.tensor([1.0, -1.0] * 16)[:, None] * torch.ones(8))
    assert line.spread == pytest.approx(1.0, abs=0.05)
    assert line.effective_rank == pytest.approx(1.0)
    assert line.collapsed


def test_few_embeddings_say_nothing_about_rank() -> None:
    few = measure_health(random(3, 8))
    assert few.effective_rank <= 2.0
    assert not few.collapsed
    assert not measure_health(random(1, 8)).collapsed


def test_effective_rank_by_hand() -> None:
    # Shares 3/4 and 1/4: entropy 0.75 ln(4/3) + 0.25 ln 4.
    by_hand = math.exp(0.75 * math.log(4 / 3) + 0.25 * math.log(4))
    assert effective_rank(torch.diag(torch.tensor([3.0, 1.0, 0.0]))) == pytest.approx(by_hand)
    assert effective_rank(torch.zeros(3, 3)) == 0.0


def test_only_collapse_that_lasts_counts() -> None:
    watch, good, bad = CollapseWatch(), Health(1.0, 9.0, 32), Health(0.0, 1.0, 32)
    assert not any(watch.sees_collapse(one) for one in [*[bad] * (IN_A_ROW - 1), good, *[bad] * (IN_A_ROW - 1)])
    assert watch.sees_collapse(bad)


class Siamese(nn.Module):
    """Two noisy views of a vector, embedded alike; with a predictor and a stop of gradients, or without."""

    def __init__(self, protected: bool) -> None:
        super().__init__()
        self.protected = protected
        self.embed = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 8))
        if protected:
            self.embed.append(nn.BatchNorm1d(8, affine=False))
        self.predict = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8))

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        a, b = self.embed(one), self.embed(other)
        if not self.protected:
            return -F.cosine_similarity(a, b).mean()
        similar = F.cosine_similarity(self.predict(a), b.detach()) + F.cosine_similarity(self.predict(b), a.detach())
        return -similar.mean() / 2


def siamese_task(protected: bool) -> TrainingTask:
    def views(number: int) -> Batch:
        inputs = random(64, 8, number)
        return {
            "one": inputs + 0.3 * random(64, 8, number + 10**6),
            "other": inputs + 0.3 * random(64, 8, number + 10**7),
        }

    def losses(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return {"total": model(batch["one"], batch["other"])}

    def embeddings(model: nn.Module, batch: Batch) -> Tensor:
        assert not model.training
        embedded: Tensor = model.get_submodule("embed")(batch["one"])
        return embedded

    torch.manual_seed(0)
    return TrainingTask("views", Siamese(protected), views, losses, embeddings=embeddings, half_precision=False)


SIAMESE = OptimiserRecipe(steps=600, batch=64, learning_rate=0.02, warmup_steps=20)


def test_a_network_that_collapses_stops_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"embeddings of views have collapsed \(spread 0\.\d+, effective rank"):
        fit(siamese_task(protected=False), SIAMESE, tmp_path)


def test_one_that_does_not_collapse_goes_on(tmp_path: Path) -> None:
    task = siamese_task(protected=True)
    trained = fit(task, SIAMESE, tmp_path)
    assert trained.finished
    assert task.model.training
    rows = (tmp_path / "log.csv").read_text().splitlines()
    spread = rows[0].split(",").index("spread")
    checked = [(int(row.split(",")[0]), float(row.split(",")[spread])) for row in rows[1:] if row.split(",")[spread]]
    assert [step for step, _ in checked] == list(range(50, 601, 50))
    assert checked[-1][1] > 0.5
    assert logged(tmp_path)[-1][1] < -0.8
