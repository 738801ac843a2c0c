"""Computed species, kept on disk."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.files import whole_file
from cryosiam.simulation.species import Species

if TYPE_CHECKING:
    from cryosiam.simulation.spec import SpeciesSpec

ALGORITHM_VERSION: Final = 3
"""Raised whenever the same file would give another species."""

_DENSITY_FIELDS: Final = ("name", "map_voxel_size_angstrom", "inverted", "bulk_density", "radius_angstrom", "assembly")


@dataclass(frozen=True)
class SpeciesCache:
    """Species by what they were computed from.

    Parameters
    ----------
    folder
        Made when first written to. A folder that cannot be written only costs time.
    """

    folder: Path

    @classmethod
    def of_user(cls) -> SpeciesCache:
        """Return the user's cache: ``$XDG_CACHE_HOME/cryosiam/species``, or ``~/.cache/cryosiam/species``."""
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return cls(Path(base) / "cryosiam" / "species")

    def key(self, spec: SpeciesSpec, file: Path, voxel_size_angstrom: float) -> str:
        """Return a digest of a file's content and of all settings that its species depends on."""
        settings = {field: getattr(spec, field) for field in _DENSITY_FIELDS}
        about = json.dumps([ALGORITHM_VERSION, voxel_size_angstrom, settings], sort_keys=True)
        digest = hashlib.sha256(about.encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()[:32]

    def get(self, key: str) -> Species | None:
        """Return a species kept, or None if it is not there or damaged."""
        try:
            with (self.folder / f"{key}.npz").open("rb") as stream, np.load(stream, allow_pickle=False) as held:
                about = json.loads(str(held["about"]))
                density = np.asarray(held["density"], np.float32)
                mask = np.unpackbits(held["mask"], count=density.size).astype(bool).reshape(density.shape)
                return Species(density=density, mask=mask, **about)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            return None

    def put(self, key: str, species: Species) -> Species:
        """Keep a species, if the folder can be written, and return it."""
        about = {
            "name": species.name,
            "radius_angstrom": species.radius_angstrom,
            "mass_kda": species.mass_kda,
            "symmetry": species.symmetry,
        }
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with whole_file(self.folder / f"{key}.npz") as temporary, temporary.open("wb") as stream:
                np.savez(
                    stream, about=np.array(json.dumps(about)), density=species.density, mask=np.packbits(species.mask)
                )
        return species
