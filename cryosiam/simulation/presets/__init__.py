"""The recipes that ship, one YAML file each."""

from __future__ import annotations

from importlib.resources import files


def preset_names() -> tuple[str, ...]:
    """Return the names of the presets, sorted."""
    folder = files("cryosiam.simulation.presets")
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def preset_text(name: str) -> str:
    """Return the YAML text of a preset."""
    return files("cryosiam.simulation.presets").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
