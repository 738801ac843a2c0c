"""Bring what the documents show up to date: the picture, the measured figures, the cards of the weights.

    python docs/refresh.py demo/results

copies the picture of the demo's first run, puts the figures that the benchmarks measured into the README, and writes
``docs/models/light.md`` from the cards of the weights. `make docs` makes the demo first.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from cryosiam.weights import Task, WeightsCard, read_card

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PICTURE = Path("docs/images/pick.png")
BENCHMARKS = ROOT / "benchmarks"
TITLES = {
    Task.DENSE: "Dense network: denoise, sample, segment, separate",
    Task.SUBTOMOGRAM: "Subtomogram network: embed and name",
}


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
    for task, title in TITLES.items():
        lines += ["", f"## {title}", "", *card_lines(read_card(name, task))]
    return "\n".join([*lines, ""])


def card_lines(card: WeightsCard) -> list[str]:
    """Return a table of the card's facts and one of its figures."""
    training = card.training
    facts = {
        "voxel size": f"{card.voxel_size_angstrom:g} Å; tomograms of other voxel sizes are resampled",
        "contrast": f"protein {card.contrast.value}; the other is inverted",
        "heads": ", ".join(card.heads),
        "classes": ", ".join(card.semantic_classes or card.species),
        "halo": f"{card.halo} voxels" if card.halo else "",
        "learnt from": training.data,
        "recipe": f"`{training.recipe}`",
        "training time": f"{training.hours:.2f} hours ({training.machine})",
        "SHA-256": f"`{card.sha256}`",
    }
    figures = [f"| {name.replace('_', ' ')} | {value:.3f} |" for name, value in card.accuracy.items()]
    return [
        "| what | value |",
        "| --- | --- |",
        *(f"| {what} | {value} |" for what, value in facts.items() if value),
        "",
        "On simulated tomograms that it never saw:",
        "",
        "| figure | value |",
        "| --- | ---: |",
        *figures,
    ]


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
