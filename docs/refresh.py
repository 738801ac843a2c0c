"""Bring what the documents show up to date: the picture, the measured figures, the cards of the weights.

    python docs/refresh.py demo/results

copies the picture of the demo's first run, puts the figures that the benchmarks measured into the README, and writes
``docs/models/light.md`` from the cards of the weights. `make docs` makes the demo first.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from cryosiam.weights import Task, WeightsCard, read_cards

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PICTURE = Path("docs/images/pick.png")
BENCHMARKS = ROOT / "benchmarks"
TITLES = {
    Task.DENSE: "Dense network: denoise, sample, segment, separate",
    Task.SUBTOMOGRAM: "Subtomogram network: embed and name",
    Task.PRETRAINING: "Pretrained trunk: to train from",
}
LIMITS = {
    Task.DENSE: (
        "It has learnt from simulations alone, and is measured on others of them. What "
        "[the simulator leaves out](../simulation.md), it has never seen.",
        "In a thick or low-dose tomogram, noise can hide everything; `pick` warns where it finds no sample.",
        "It sees nothing finer than its voxels: small or thin structures are the first that it misses.",
        "Scores are probabilities for tomograms like those of training; in others, only their order can be relied on.",
    ),
    Task.SUBTOMOGRAM: (
        "It knows the species in the table and no others; an unknown one stays `particle`, or gets a wrong name.",
        "Species alike in size and shape are told apart worst.",
        "It names what the dense network found, and was taught with it. With another dense network, teach it anew.",
    ),
    Task.PRETRAINING: ("It names nothing and finds nothing; it is where training starts.",),
}
"""What no figure tells; `weak_points` adds what the figures tell."""


def replaced(text: str, mark: str, content: str) -> str:
    """Return the text with everything between ``<!-- mark -->`` and ``<!-- /mark -->`` replaced."""
    before, _, rest = text.partition(f"<!-- {mark} -->\n")
    _, _, after = rest.partition(f"<!-- /{mark} -->")
    return f"{before}<!-- {mark} -->\n{content}<!-- /{mark} -->{after}"


def measured_table() -> str:
    """Return the table of what was measured, with the machine it was measured on; nothing before it was."""
    report = BENCHMARKS / "pick.md"
    if not report.exists():
        return ""
    lines = report.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("|"))
    last = next(i for i in range(first, len(lines)) if not lines[i].startswith("|"))
    machine = next(line for line in reversed(lines[:first]) if line)
    source = f"Measured on {machine}. [More, and how](benchmarks/README.md)"
    return "\n".join([*lines[first:last], *dense_share(), "", source, ""])


def dense_share() -> list[str]:
    """Return a table row: how much of the machine's matrix rate the dense network reaches."""
    report = BENCHMARKS / "dense.md"
    if not report.exists():
        return []
    rows = [line.strip("| ").split(" | ") for line in report.read_text().splitlines() if line.startswith("| torch ")]
    shares = ", ".join(f"{row[1]} {row[-1]}" for row in rows)
    return [f"| dense network: share of the machine's own rate of large matrix products | {shares} |"]


def readme() -> str:
    """Return the README with the picture and the figures that there are."""
    picture = f"![Tomogram, segmentation and picks of the demo]({PICTURE})\n" if (ROOT / PICTURE).exists() else ""
    return replaced(replaced(README.read_text(), "picture", picture), "measured", measured_table())


def model_card(name: str) -> str:
    """Return the document of the weights ``name``."""
    lines = [f"# Weights `{name}`", "", "Written by `docs/refresh.py` from the cards beside the weights."]
    if (BENCHMARKS / "cb1.md").exists():
        lines += ["[Measured on the benchmark CB-1](../../benchmarks/cb1.md), beside the figures of the thesis."]
    for card in read_cards(name):
        part = f" ({card.part})" if card.part else ""
        lines += ["", f"## {TITLES[card.task]}{part}", "", *card_lines(card)]
    return "\n".join([*lines, ""])


def card_lines(card: WeightsCard) -> list[str]:
    """Return a table of the card's facts, one of its figures, and where the network fails."""
    training = card.training
    facts = {
        "voxel size": f"{card.voxel_size_angstrom:g} Å; tomograms of other voxel sizes are resampled",
        "contrast": f"protein {card.contrast.value}; the other is inverted",
        "reads": "denoised tomograms" if card.input == "denoised" else "",
        "heads": ", ".join(card.heads),
        "classes": ", ".join(card.semantic_classes or card.species),
        "halo": f"{card.halo} voxels" if card.halo else "",
        "learnt from": training.data,
        "recipe": f"`{training.recipe}`",
        "settings": settings_text(training.parameters),
        "training time": f"{training.hours:.2f} hours ({training.machine})",
        "SHA-256": f"`{card.sha256}`",
    }
    lines = ["| what | value |", "| --- | --- |"]
    lines += [f"| {what} | {value} |" for what, value in facts.items() if value]
    calibration = {name: value for name, value in card.accuracy.items() if "calibration" in name}
    accuracy = {name: value for name, value in card.accuracy.items() if name not in calibration}
    if accuracy:
        lines += ["", "### How well", "", "On simulated tomograms that it never saw:", "", *figures_table(accuracy)]
    if calibration or card.score is not None:
        said = "Scores are calibrated on held-out simulations; what that is worth elsewhere, `cryosiam evaluate` tells."
        lines += [
            "",
            "### Calibration",
            "",
            said if card.score is not None else "Probabilities of names are calibrated.",
        ]
        lines += ["", *figures_table(calibration)] if calibration else []
    return [*lines, "", "### Where it fails", "", *(f"- {text}" for text in (*weak_points(card), *LIMITS[card.task]))]


def figures_table(figures: dict[str, float]) -> list[str]:
    """Return a table of measured figures."""
    rows = [f"| {name.replace('_', ' ')} | {value:.3f} |" for name, value in figures.items()]
    return ["| figure | value |", "| --- | ---: |", *rows]


def settings_text(parameters: dict[str, Any]) -> str:
    """Return the settings of training in one line, those of each stage behind its name."""
    stages = {name: value for name, value in parameters.items() if isinstance(value, dict)}
    plain = {name: value for name, value in parameters.items() if name not in stages and value is not None}
    parts = [f"{stage}: {settings_text(value)}" for stage, value in stages.items()]
    if plain:
        shown = {name: " x ".join(map(str, v)) if isinstance(v, list) else v for name, v in plain.items()}
        parts.append(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items()))
    return "; ".join(parts)


def weak_points(card: WeightsCard) -> list[str]:
    """Return what the figures say against a network, in sentences."""
    accuracy = card.accuracy
    found = []
    weak = {name: accuracy[f"dice_{name}"] for name in card.semantic_classes if accuracy.get(f"dice_{name}", 1) < 0.5}
    if weak:
        listed = ", ".join(f"{name} ({value:.2f})" for name, value in weak.items())
        found.append(f"Dice is below 0.5 for {listed}: look at these before you measure anything with them.")
    if accuracy.get("pick_recall", 1) < 0.8:
        found.append(f"Of 100 particles it misses {100 * (1 - accuracy['pick_recall']):.0f}.")
    if accuracy.get("accuracy_of_named", 1) < 0.9:
        found.append(f"Of 100 names that it gives, {100 * (1 - accuracy['accuracy_of_named']):.0f} are wrong.")
    return found


def main() -> None:
    """Refresh the documents from the results folder that the options name."""
    parser = argparse.ArgumentParser(description="Bring picture, figures and model card up to date.")
    parser.add_argument("results", type=Path, nargs="?", help="results of the demo, for the picture")
    options = parser.parse_args()
    if options.results is not None:
        (ROOT / PICTURE).parent.mkdir(exist_ok=True)
        shutil.copyfile(min(options.results.glob("*.png")), ROOT / PICTURE)
    README.write_text(readme())
    (ROOT / "docs/models").mkdir(exist_ok=True)
    (ROOT / "docs/models/light.md").write_text(model_card("light"))


if __name__ == "__main__":
    main()
