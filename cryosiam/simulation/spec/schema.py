"""The JSON Schema of simulation recipes, for editors that complete and check YAML."""

from __future__ import annotations

from typing import Any

from cryosiam.simulation.spec.simulation import SimulationSpec


def simulation_schema() -> dict[str, Any]:
    """Return the JSON Schema of a recipe; ``schemas/simulation.schema.json`` is this, and a test compares them."""
    schema = SimulationSpec.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "CryoSiam simulation recipe"
    return schema
