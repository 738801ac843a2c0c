"""The user's library of structures: each a file and a card that says what it is."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryosiam.errors import InputError, ProductExistsError
from cryosiam.files import whole_file, write_text_whole

if TYPE_CHECKING:
    from cryosiam.simulation.species import Species

FOLDER_VARIABLE: Final = "CRYOSIAM_STRUCTURES"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


@dataclass(frozen=True)
class ReadingHints:
    """How a file is to be read; see :class:`cryosiam.simulation.spec.SpeciesSpec`."""

    assembly: str = "first"
    map_voxel_size_angstrom: float | None = None
    inverted: bool = False
    bulk_density: float = 1.0


@dataclass(frozen=True)
class StructureCard:
    """What is known of a structure in the library.

    Parameters
    ----------
    name
        Class name, without underscores.
    file
        Its file in the library's folder.
    origin
        The file or address that it came from.
    mass_kda, radius_angstrom, symmetry, size_class
        See :class:`cryosiam.simulation.species.Species`.
    hints
        How the file is to be read.
    """

    name: str
    file: str
    origin: str
    mass_kda: float
    radius_angstrom: float
    symmetry: str
    size_class: str
    hints: ReadingHints = ReadingHints()


@dataclass(frozen=True)
class StructureStore:
    """Structures in a folder.

    Parameters
    ----------
    folder
        Made when the first structure is added.
    """

    folder: Path

    @classmethod
    def of_user(cls) -> StructureStore:
        """Return the user's library: ``$CRYOSIAM_STRUCTURES``, or ``cryosiam/structures`` where data are kept.

        That is ``$XDG_DATA_HOME``, or ``~/.local/share``.
        """
        given = os.environ.get(FOLDER_VARIABLE)
        if given:
            return cls(Path(given).expanduser())
        base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        return cls(Path(base) / "cryosiam" / "structures")

    def check_free(self, name: str, *, overwrite: bool = False) -> None:
        """Refuse a name that cannot be used, or is taken.

        Raises
        ------
        InputError
            If the name is empty or has other characters than letters, digits, ``.``, ``+`` and ``-``.
        ProductExistsError
            If there is a structure of that name, and it is not to be overwritten.
        """
        if not _NAME.fullmatch(name):
            raise InputError(
                f"'{name}' cannot name a structure; use letters, digits, '.', '+' and '-', but no underscore or space."
            )
        if not overwrite and self._card_file(name).exists():
            raise ProductExistsError(
                f"{self.folder} holds a structure '{name}' already; choose another --name, or give --overwrite."
            )

    def add(
        self, file: Path, species: Species, origin: str, hints: ReadingHints, *, overwrite: bool = False
    ) -> StructureCard:
        """Take a copy of a file.

        Parameters
        ----------
        file
            Structure or map, which the species was computed from.
        species
            Its name, mass, radius and symmetry go into the card.
        origin
            Where the file comes from.
        hints
            How it was read.
        overwrite
            Replace a structure of that name.

        Raises
        ------
        InputError
            If the name cannot be used.
        ProductExistsError
            If the name is taken.
        """
        self.check_free(species.name, overwrite=overwrite)
        before = self.card(species.name) if self._card_file(species.name).exists() else None
        kept = f"{species.name}{''.join(_endings(file))}"
        card = StructureCard(
            species.name,
            kept,
            origin,
            round(species.mass_kda, 3),
            round(species.radius_angstrom, 2),
            species.symmetry,
            species.size_class,
            hints,
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self.folder / kept) as temporary:
            shutil.copyfile(file, temporary)
        # The card comes last: a structure exists once its card does.
        write_text_whole(self._card_file(species.name), json.dumps(asdict(card), indent=2) + "\n")
        if before is not None and before.file != kept:
            (self.folder / before.file).unlink(missing_ok=True)
        return card

    def cards(self) -> list[StructureCard]:
        """Return the cards of all structures, by name."""
        return [self.card(path.stem) for path in sorted(self.folder.glob("*.json"))]

    def card(self, name: str) -> StructureCard:
        """Return a structure's card.

        Raises
        ------
        InputError
            If there is no structure of that name, or its card is damaged.
        """
        path = self._card_file(name)
        if not _NAME.fullmatch(name) or not path.is_file():
            there = ", ".join(one.stem for one in sorted(self.folder.glob("*.json"))) or "it is empty"
            raise InputError(
                f"the library {self.folder} has no structure '{name}' (there: {there}); "
                "add it with 'cryosiam structures add'."
            )
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            return StructureCard(hints=ReadingHints(**held.pop("hints", {})), **held)
        except (ValueError, TypeError, AttributeError):
            raise InputError(
                f"{path} is no structure's card; add the structure again with 'cryosiam structures add --overwrite'."
            ) from None

    def file(self, name: str) -> Path:
        """Return a structure's file.

        Raises
        ------
        InputError
            If there is no structure of that name, or its file is gone.
        """
        path = self.folder / self.card(name).file
        if not path.is_file():
            raise InputError(f"{path} is gone; add '{name}' again with 'cryosiam structures add --overwrite'.")
        return path

    def remove(self, name: str) -> None:
        """Remove a structure, the card first.

        Raises
        ------
        InputError
            If there is no structure of that name.
        """
        file = self.card(name).file
        self._card_file(name).unlink()
        (self.folder / file).unlink(missing_ok=True)

    def _card_file(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def _endings(file: Path) -> list[str]:
    """Return the endings that tell what a file is: ``.cif.gz``, not all of ``4v4r.30S.cif.gz``."""
    endings = file.suffixes
    return endings[-2:] if endings and endings[-1] in (".gz", ".bz2") else endings[-1:]
