"""The record of a results folder: what was read, with which weights and settings, what was written, at what cost.

``manifest.json`` is rewritten whole after every stage, so it is also how an interrupted command knows where to go on.
Its JSON Schema is ``schemas/manifest.schema.json``.
"""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cryosiam.errors import InputError
from cryosiam.pipeline.storage import storage_errors, write_text_whole

FORMAT = 1
FILE_NAME = "manifest.json"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputRecord(_Record):
    """The tomogram that was read."""

    location: str = Field(description="Where the voxels come from.")
    signature: str = Field(description="Changes when the input's files change (sizes and times).")
    shape_zyx: tuple[int, int, int]
    voxel_size_angstrom: float
    tomogram_type: str


class WeightsRecord(_Record):
    """The weights a stage used."""

    name: str
    sha256: str


class StageRecord(_Record):
    """One stage of one run, complete."""

    fingerprint: str = Field(description="Depends on input, configuration, weights and earlier stages.")
    config: dict[str, Any]
    weights: WeightsRecord | None = None
    device: str
    precision: str
    seed: int
    seconds: float
    peak_memory_mib: float = Field(description="Largest resident memory of the whole process during the stage.")
    versions: dict[str, str]
    finished: str = Field(description="UTC time, ISO 8601.")
    details: dict[str, Any] = Field(default_factory=dict, description="Figures the stage reports about its result.")


class ProductRecord(_Record):
    """A product of one run, written whole."""

    fingerprint: str = Field(description="Depends on the stages it comes from and on the session.")
    locations: tuple[str, ...] = Field(description="Where it was written; empty where there was nothing to write.")
    seconds: float
    peak_memory_mib: float
    finished: str = Field(description="UTC time, ISO 8601.")


class RunRecord(_Record):
    """One run of the project."""

    input: InputRecord
    written: dict[str, dict[str, dict[str, str]]] = Field(
        default_factory=dict,
        description="For each user-id/session-id and product: files written, with size and time of change.",
    )
    stages: dict[str, StageRecord] = Field(default_factory=dict)
    products: dict[str, ProductRecord] = Field(default_factory=dict)

    def with_stage(self, name: str, record: StageRecord | None) -> RunRecord:
        """Return a record in which stage ``name`` is complete, or (None) not done."""
        stages = {key: value for key, value in self.stages.items() if key != name}
        return self.model_copy(update={"stages": stages if record is None else {**stages, name: record}})

    def with_product(self, name: str, record: ProductRecord, session: str) -> RunRecord:
        """Return a record in which product ``name`` is written under ``session``."""
        files = {place: state for place in record.locations if (state := file_state(Path(place))) is not None}
        written = {**self.written, session: {**self.written.get(session, {}), name: files}}
        return self.model_copy(update={"products": {**self.products, name: record}, "written": written})

    def redone(self) -> RunRecord:
        """Return a record in which nothing is complete; what was written, and by which session, stays known."""
        return self.model_copy(update={"stages": {}, "products": {}})

    def claimed_by(self, session: str) -> RunRecord:
        """Return a record in which what lies under ``session`` from now on was written by this results folder."""
        return self.model_copy(update={"written": {session: {}, **self.written}})

    def edited_since(self, name: str, session: str, own: Path) -> str | None:
        """Return a file of product ``name`` that somebody changed after it was written, or None.

        Files in the folder ``own`` are stages' tables, which nobody but the stages changes.
        """
        for place, state in self.written.get(session, {}).get(name, {}).items():
            if not Path(place).is_relative_to(own) and file_state(Path(place)) not in (None, state):
                return place
        return None


def file_state(path: Path) -> str | None:
    """Return size and time of change of a file, or None where there is no file."""
    if not path.is_file():
        return None
    facts = path.stat()
    return f"{facts.st_size} {facts.st_mtime_ns}"


class SummaryRecord(_Record):
    """Files that hold all runs together."""

    fingerprint: str
    finished: str
    locations: tuple[str, ...] = Field((), description="Files written.")
    notes: tuple[str, ...] = Field((), description="What was left out, and why.")


class Manifest(_Record):
    """Everything that is known of a results folder."""

    format: int = FORMAT
    source: str = Field(description="Adapter and place the runs come from.")
    runs: dict[str, RunRecord] = Field(default_factory=dict)
    summary: SummaryRecord | None = None

    def with_run(self, name: str, record: RunRecord) -> Manifest:
        """Return a manifest in which ``record`` stands for run ``name``."""
        return self.model_copy(update={"runs": {**self.runs, name: record}})

    def without_run(self, name: str) -> Manifest:
        """Return a manifest that does not know run ``name``."""
        return self.model_copy(update={"runs": {run: record for run, record in self.runs.items() if run != name}})


def load_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a results folder, or None where there is none.

    Raises
    ------
    InputError
        If it is damaged or was written by a newer CryoSiam.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and content.get("format", 0) > FORMAT:
            raise InputError(f"{path} was written by a newer CryoSiam; update CryoSiam or give another --out")
        return Manifest.model_validate(content)
    except (ValueError, TypeError, ValidationError) as error:
        raise InputError(f"{path} is not a CryoSiam manifest; move it away or give another --out") from error


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest atomically."""
    with storage_errors("cannot write the manifest"):
        write_text_whole(folder / FILE_NAME, manifest.model_dump_json(indent=1) + "\n")


def manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``manifest.json`` (the committed file is this, and a test compares them)."""
    schema = Manifest.model_json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "CryoSiam manifest"
    return schema


@cache
def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    packages = {name: version(name) for name in ("cryosiam", "torch", "numpy", "scipy")}
    return {**packages, "python": platform.python_version(), "machine": platform.platform(terse=True)}


def now() -> str:
    """Return the time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
