"""Measure what self-supervised pretraining brings, and repeat the ablations of the thesis' tables 1 to 5.

    python benchmarks/bench_pretraining.py --structures DATA --results FOLDER [--quick]

Specimens are made up as in the thesis' ablations: 40 general, 10 with transcription and translation, 10 of chromatin.
A narrow dense network is pretrained in every configuration, each with the same patches and steps. Its trunk is frozen,
and three 1x1x1 layers learn the semantic classes from a tenth of the specimens; Dice is of specimens held out of both.
Whether pretraining pays is asked of clean and of noisy tomograms; the ablations are of clean ones, as in the thesis.
Each finished configuration is a line in the results folder, so the script can be stopped and goes on where it was, and
several may fill one folder at once, each with ``--seeds`` of its own; ``--tables`` prints what is there.
``--weights FOLDER`` also probes a trunk of `cryosiam train pretrain-dense`.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pretraining_tables import CONFIGURATIONS, PAYS, RANK, TABLES, Configuration, ablation_table, pays_table

from cryosiam.files import whole_file
from cryosiam.networks.config import DenseConfig, EncoderConfig
from cryosiam.networks.dense import DenseTrunk
from cryosiam.training.collapse import measure_health
from cryosiam.training.data import SimulatedSource, simulated_source
from cryosiam.training.dense_pretraining import pretraining_task
from cryosiam.training.fit import fit
from cryosiam.training.imaged import NOISY, Looks
from cryosiam.training.probe import (
    LabelledVolume,
    ProbeBudget,
    imaged_volumes,
    probe_semantic,
    random_trunk,
    split_specimens,
)
from cryosiam.training.recipe import OptimiserRecipe, SpecimenGroup, read_recipe
from cryosiam.training.specimens import StoredSpecimen
from cryosiam.training.task import Batch, Batches
from cryosiam.weights import load_pretrained

PATCH = (64, 64, 64)
HELD_OUT_CROP = (64, 128, 128)
TOGETHER = 4
FIELD = (112, 256, 256)
SAMPLES = (
    SpecimenGroup(preset="general", seeds=(1, 40), shape_zyx=FIELD, share=1),
    SpecimenGroup(preset="transcription-translation", seeds=(301, 310), shape_zyx=FIELD, share=1),
    SpecimenGroup(preset="chromatin", seeds=(351, 360), shape_zyx=FIELD, share=1),
)
"""As many of each as the thesis' ablations have (section 4.2)."""

QUICK_SAMPLES = tuple(
    group.model_copy(update={"seeds": (group.seeds[0], group.seeds[0] + 1), "shape_zyx": (112, 96, 96)})
    for group in SAMPLES
)

Look = Literal["clean", "noisy"]
LOOKS: dict[Look, Looks] = {"clean": Looks(clear=1.0), "noisy": NOISY}


@dataclass(frozen=True)
class Budget:
    """What every configuration is given alike.

    Parameters
    ----------
    width
        Channels of the encoder's first of four stages; the pyramid has twice as many.
    steps, batch
        Of pretraining.
    patches, labelled_patches
        Different patches for pretraining and for the probe.
    probe_steps
        Of the head.
    """

    width: int = 8
    steps: int = 200
    batch: int = 4
    patches: int = 192
    labelled_patches: int = 48
    probe_steps: int = 600


QUICK = Budget(width=4, steps=6, batch=2, patches=8, labelled_patches=4, probe_steps=20)


@dataclass(frozen=True)
class StoredPatches:
    """Patches made once, so that configurations learn from the same and none pays for imaging.

    Parameters
    ----------
    noisy, semantic
        ``(n, z, y, x)``.
    """

    noisy: NDArray[np.float16]
    semantic: NDArray[np.uint8]

    def batches(self, size_zyx: tuple[int, int, int], batch: int, seed: int) -> Batches:
        """Return batches that go through the patches in an order drawn with ``seed``, again and again."""
        if size_zyx != self.noisy.shape[1:]:
            raise ValueError(f"stored patches have {self.noisy.shape[1:]} voxels, not {size_zyx}")
        order = np.random.default_rng(seed).permutation(len(self.noisy))

        def one(number: int) -> Batch:
            rows = order[np.arange(number * batch, (number + 1) * batch) % len(order)]
            noisy = torch.from_numpy(self.noisy[rows].astype(np.float32))[:, None]
            return {"noisy": noisy, "semantic": torch.from_numpy(self.semantic[rows].astype(np.int64))}

        return one


@dataclass(frozen=True)
class Data:
    """Patches without and with labels, and volumes to measure on."""

    unlabelled: StoredPatches
    labelled: StoredPatches
    held_out: list[LabelledVolume]


def prepared(folder: Path, specimens: list[StoredSpecimen], budget: Budget, look: Look, quick: bool) -> Data:
    """Show specimens in a look and cut patches, or take those that ``folder`` holds."""
    split = split_specimens(specimens)

    def patches(name: str, members: tuple[StoredSpecimen, ...], count: int, seed: int) -> StoredPatches:
        path = folder / f"{look}-{name}-{count}.npz"
        if not path.exists():
            chances = np.full(len(members), 1 / len(members))
            source = SimulatedSource(list(members), chances, LOOKS[look]).batches(PATCH, TOGETHER, seed)
            made = [source(number) for number in range(-(-count // TOGETHER))]
            noisy = torch.cat([one["noisy"][:, 0] for one in made])[:count].numpy()
            semantic = torch.cat([one["semantic"] for one in made])[:count].numpy()
            _save(path, noisy=noisy.astype(np.float16), semantic=semantic.astype(np.uint8))
        with np.load(path) as stored:
            return StoredPatches(stored["noisy"], stored["semantic"])

    away = split.held_out[:: max(1, len(split.held_out) // 3)] if quick else split.held_out
    path = folder / f"{look}-held-out-{len(away)}.npz"
    if not path.exists():
        volumes = imaged_volumes(away, seed=3, crop_zyx=HELD_OUT_CROP, looks=LOOKS[look])
        noisy, semantic = ([getattr(one, name) for one in volumes] for name in ("noisy", "semantic"))
        _save(path, noisy=np.stack(noisy).astype(np.float16), semantic=np.stack(semantic).astype(np.uint8))
    with np.load(path) as stored:
        pairs = zip(stored["noisy"].astype(np.float32), stored["semantic"], strict=True)
        held_out = [LabelledVolume(noisy, semantic) for noisy, semantic in pairs]
    return Data(
        patches("unlabelled", split.unlabelled, budget.patches, 1),
        patches("labelled", split.labelled, budget.labelled_patches, 2),
        held_out,
    )


def _save(path: Path, **arrays: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)


def network(width: int, embedding_channels: int) -> DenseConfig:
    """Return a dense network like the light one, but narrower, and with the four stages that L8 needs."""
    planes = (width, 2 * width, 4 * width, 8 * width)
    encoder = EncoderConfig(stem_kernel=5, stem_stride=2, planes=planes)
    return DenseConfig(encoder=encoder, fpn_channels=2 * width, embedding_channels=embedding_channels)


def pretrained_trunk(configuration: Configuration, budget: Budget, data: Data, seed: int, folder: Path) -> DenseTrunk:
    """Return the trunk that a configuration leads to."""
    config = network(budget.width, configuration.embedding_channels)
    if configuration.plan is None:
        return random_trunk(config, seed)
    optimiser = OptimiserRecipe(
        steps=budget.steps,
        batch=budget.batch,
        learning_rate=0.002,
        warmup_steps=budget.steps // 10,
        average_decay=0.99,
        seed=seed,
    )
    task = pretraining_task(config, configuration.plan, data.unlabelled, budget.batch, seed)
    # Some configurations may collapse; that is a result here and no reason to stop.
    task = replace(task, embeddings=None)
    trunk: DenseTrunk = fit(task, optimiser, folder).model.trunk  # type: ignore[assignment]
    return trunk


@dataclass(frozen=True)
class Job:
    """One trunk to pretrain and to probe: a configuration's name, the look of its tomograms, and a seed."""

    name: str
    look: Look
    seed: int


class Results:
    """Finished configurations, a JSON line each."""

    def __init__(self, folder: Path, budget: Budget) -> None:
        self._path = folder / "results.jsonl"
        self._budget = asdict(budget)
        folder.mkdir(parents=True, exist_ok=True)

    def read(self) -> list[dict[str, Any]]:
        """Return what was done with this budget."""
        if not self._path.exists():
            return []
        lines = [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines()]
        return [line for line in lines if line["budget"] == self._budget]

    def has(self, job: Job) -> bool:
        """Return whether a job was done."""
        return any(all(line[key] == value for key, value in asdict(job).items()) for line in self.read())

    def add(self, job: Job, dice: dict[str, float], pretraining_cpu_s: float, probe_cpu_s: float) -> None:
        """Write a line and show it."""
        line = {
            **asdict(job),
            "budget": self._budget,
            "dice": dice,
            "pretraining_cpu_s": round(pretraining_cpu_s, 1),
            "probe_cpu_s": round(probe_cpu_s, 1),
        }
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        spent = pretraining_cpu_s + probe_cpu_s
        print(f"{job.look}, {job.name}, seed {job.seed}: {dice['all']:.3f}, {spent:.0f} CPU s", flush=True)


def run(job: Job, budget: Budget, data: Data, results: Results, folder: Path) -> None:
    """Pretrain and probe one configuration, unless that was done."""
    if results.has(job):
        return
    began = time.process_time()
    name = job.name.replace(" ", "-").replace(",", "")
    at = folder / "checkpoints" / f"{job.look}-{name}-{job.seed}-{budget.width}-{budget.steps}"
    trunk = pretrained_trunk(CONFIGURATIONS[job.name], budget, data, job.seed, at)
    half = time.process_time()
    dice = probed(trunk, budget, data, job.seed)
    results.add(job, dice, half - began, time.process_time() - half)


def probed(trunk: DenseTrunk, budget: Budget, data: Data, seed: int) -> dict[str, float]:
    """Return Dice by class of a probed trunk, and in how many directions its embeddings differ."""
    probe = ProbeBudget(patches=budget.labelled_patches, patch_zyx=PATCH, steps=budget.probe_steps)
    dice = probe_semantic(trunk, data.labelled, data.held_out, probe, seed)
    with torch.inference_mode():
        embedded = trunk(torch.from_numpy(data.held_out[0].noisy)[None, None]).movedim(1, -1).flatten(0, -2)
    return {**dice, RANK: measure_health(embedded[:: len(embedded) // 2048]).effective_rank}


def run_weights(spec: str, seeds: range, budget: Budget, data: Data, results: Results) -> None:
    """Probe the trunk of pretraining weights, and a random one of the same shape."""
    for seed in seeds:
        for kind in ("weights", "random of their shape"):
            job = Job(f"{kind}: {spec}", "noisy", seed)
            if results.has(job):
                continue
            trunk = load_pretrained(spec).model.trunk
            trunk = random_trunk(trunk.config, seed) if kind != "weights" else trunk
            began = time.process_time()
            results.add(job, probed(trunk, budget, data, seed), 0.0, time.process_time() - began)


def report(results: Results, budget: Budget, weights: str | None) -> str:
    """Return all tables as Markdown."""
    dice: dict[Look, dict[str, list[dict[str, float]]]] = {look: defaultdict(list) for look in LOOKS}
    for line in results.read():
        dice[line["look"]][line["name"]].append(line["dice"])
    with_weights = dict(PAYS)
    if weights:
        with_weights |= {
            f"random of their shape: {weights}": "random, their shape",
            f"weights: {weights}": "the weights",
        }
    text = [
        "# Self-supervised pretraining",
        "",
        *setting(results, budget),
        "",
        "## Does pretraining pay?",
        "",
        "Frozen trunk, three layers of 1x1x1; mean and standard deviation over seeds of weights, views and head.",
        "",
        "### Clean tomograms",
        "",
        *pays_table(dice["clean"], PAYS),
        "### Noisy tomograms",
        "",
        *pays_table(dice["noisy"], with_weights),
        "## Ablations",
        "",
        "Clean tomograms, as in the thesis, of as many samples. Differences: another simulator, whose clean tomograms",
        "are half of them blurred and half of them noisy, a little; a narrow network and a few hundred steps where it",
        "trains a ResNet-10 for epochs; 10 Å voxels and a stem of stride 2; the head learns from a tenth of the",
        "specimens where it learns from four fifths; `all` is the mean over the classes, theirs is not. Levels add up",
        "from column to column; L2 is the level of half the finest resolution. Mean and standard deviation over the",
        "seeds: what differs by less than these may be chance.",
        "",
    ]
    for title in TABLES:
        text += ablation_table(title, dice["clean"])
    return "\n".join(text)


def setting(results: Results, budget: Budget) -> list[str]:
    """Return what was run and what it cost, as Markdown."""
    planes = ", ".join(str(budget.width * 2**stage) for stage in range(4))
    text = [
        f"`python benchmarks/bench_pretraining.py` on {platform.machine()}, torch {torch.__version__}. Encoder of",
        f"{planes} channels, {budget.steps} steps of {budget.batch} pairs of views, {budget.patches} patches without",
        f"labels. Probe: {budget.labelled_patches} patches of a tenth of the specimens, {budget.probe_steps} steps.",
    ]
    trained = [line for line in results.read() if line["pretraining_cpu_s"] > 1]
    if trained:
        cost = [statistics.median(line[name] for line in trained) for name in ("pretraining_cpu_s", "probe_cpu_s")]
        text.append(f"CPU seconds per configuration, median: {cost[0]:.0f} to pretrain, {cost[1]:.0f} to probe.")
    return text


def train(options: argparse.Namespace, budget: Budget, results: Results) -> None:
    """Do what is missing."""
    recipe = read_recipe("light").model_copy(update={"specimens": QUICK_SAMPLES if options.quick else SAMPLES})
    specimens = simulated_source(options.results / "specimens", options.structures, recipe, print).specimens
    data = {look: prepared(options.results / "patches", specimens, budget, look, options.quick) for look in LOOKS}
    jobs: list[Job] = []
    first, last = (1, 1) if options.quick else options.seeds
    seeds = range(first, last + 1)
    for seed in seeds:
        if options.part != "ablations":
            jobs += [Job(name, look, seed) for look in LOOKS for name in PAYS]
        if options.part != "pays":
            jobs += [Job(name, "clean", seed) for name in CONFIGURATIONS]
    for job in jobs:
        run(job, budget, data[job.look], results, options.results)
    if options.weights:
        run_weights(options.weights, seeds, budget, data["noisy"], results)


def main() -> None:
    """Parse options, train and probe what is missing, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", type=Path, required=True, help="folder with the structures of the presets")
    parser.add_argument("--results", type=Path, required=True, help="specimens, checkpoints and finished lines go here")
    parser.add_argument("--width", type=int, default=Budget.width, help="channels of the encoder's first stage")
    parser.add_argument("--steps", type=int, default=Budget.steps, help="of pretraining")
    parser.add_argument("--seeds", type=int, nargs=2, default=(1, 2), help="first and last, of weights, views and head")
    parser.add_argument("--part", choices=("pays", "ablations", "all"), default="all")
    parser.add_argument("--weights", help="folder of pretraining weights to probe as well")
    parser.add_argument("--tables", action="store_true", help="train nothing, print what is there")
    parser.add_argument("--quick", action="store_true", help="a few steps of a tiny network, nothing written beside it")
    options = parser.parse_args()
    budget = QUICK if options.quick else Budget(width=options.width, steps=options.steps)
    results = Results(options.results, budget)
    if not options.tables:
        train(options, budget, results)
    text = report(results, budget, options.weights)
    print(text)
    if not options.quick:
        (Path(__file__).parent / "pretraining.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
