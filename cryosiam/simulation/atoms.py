"""Atomic models from PDB and mmCIF files: atoms of the biological assembly, and its chains."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.errors import InputError
from cryosiam.simulation.scattering import AtomKind
from cryosiam.simulation.symmetry import Chain

if TYPE_CHECKING:
    from collections.abc import Iterator

    import gemmi
    from numpy.typing import NDArray

FIRST_ASSEMBLY: Final = "first"
NO_ASSEMBLY: Final = "none"

HYDROGENS_PER_ATOM: Final = {False: 1.0, True: 0.52}
"""Bound to each heavy atom of protein (False) and nucleic acid (True) on average, where the file has none."""

VOLUME_PER_ATOM_A3: Final = {False: 17.4, True: 13.7}
"""Per heavy atom of protein (False) and nucleic acid (True), from partial specific volumes 0.74 and 0.55 cm³/g."""

_ASSEMBLY_FILE: Final = re.compile(r"\.pdb([1-9][0-9]?)(\.gz)?", re.IGNORECASE)
_HYDROGEN_DALTON: Final = 1.008
_WATER_DALTON: Final = 18.015
_COMPLETE_SHARE: Final = 0.85
_COMPLETE_HYDROGENS: Final = 0.5
_BINDS_HYDROGEN: Final = frozenset(("C", "N", "O", "S", "P", "Se"))
_TRACE_ATOMS: Final = ("CA", "C4'", "C4*")


@dataclass(frozen=True)
class AtomicModel:
    """Atoms of a complex, water left out.

    Parameters
    ----------
    kinds
        Kinds of atoms met, in order of appearance.
    kind_of_atom
        ``(n,)`` index into ``kinds``.
    positions
        ``(n, 3)`` x, y, z in Å.
    occupancies
        ``(n,)``.
    mass_kda
        With hydrogens.
    chains
        Its protein and nucleic acid chains.
    """

    kinds: tuple[AtomKind, ...]
    kind_of_atom: NDArray[np.int64]
    positions: NDArray[np.float64]
    occupancies: NDArray[np.float64]
    mass_kda: float
    chains: tuple[Chain, ...]

    @property
    def volumes_a3(self) -> NDArray[np.float64]:
        """``(n,)`` volume of solvent that each atom displaces."""
        per_kind = np.array([kind.solvent_volume_a3 for kind in self.kinds])
        return np.asarray(per_kind[self.kind_of_atom] * self.occupancies, np.float64)


def read_atoms(path: Path | str, assembly: str = FIRST_ASSEMBLY) -> AtomicModel:
    """Read the atoms of a biological assembly.

    Of a file with several models, such as an NMR ensemble, the first is taken. The Protein Data Bank's assembly files
    (``.pdb1``, ``.pdb2`` and so on) hold the copies of one assembly as models, which are joined, unless the file says
    that they are an NMR ensemble.

    Parameters
    ----------
    path
        PDB or mmCIF file, plain or gzipped.
    assembly
        Name of an assembly in the file, ``first`` (the coordinates as they are, where the file lists none) or
        ``none``. An assembly file holds one, named by its number; ``none`` takes its first model.

    Raises
    ------
    InputError
        If the file cannot be read, holds no atom but water, one of an unknown element, a position that is no number,
        or lacks the assembly.
    """
    structure = _read(path)
    number = assembly_number(path)
    if number is None:
        operations = list(_operations(path, structure, assembly))
    else:
        _check_assembly(path, assembly, [number])
        operations = [_IDENTITY]
    method = dict(structure.info).get("_exptl.method", "")
    joined = number is not None and assembly != NO_ASSEMBLY and "NMR" not in method
    table = _Table(path)
    for model in range(len(structure) if joined else 1):
        for chain in structure[model]:
            for residue in chain:
                table.add(residue, f"{chain.name} {model}" if model else chain.name)
    if not table.positions:
        raise InputError(f"{path} holds no atom but water; give a structure with protein or nucleic acid.")
    if not any(occupancy > 0 for occupancy in table.occupancies):
        raise InputError(f"{path} gives every atom an occupancy of 0; give a structure with occupied atoms.")
    if not np.isfinite(table.positions).all() or not np.isfinite(table.occupancies).all():
        raise InputError(f"{path} gives an atom a position or occupancy that is no number; correct or remove it.")
    return table.assembled(operations)


def assembly_number(path: Path | str) -> str | None:
    """Return the number of the assembly that a file holds by its ending (``.pdb1``), or None for other files."""
    found = _ASSEMBLY_FILE.search(Path(path).name)
    return found[1] if found is not None and found.end() == len(Path(path).name) else None


def _read(path: Path | str) -> gemmi.Structure:
    import gemmi

    if not Path(path).is_file():
        raise InputError(f"{path} is not there; give the path of a PDB or mmCIF file.")
    try:
        # Of an assembly file's ending the reader knows nothing.
        kind = gemmi.CoorFormat.Unknown if assembly_number(path) is None else gemmi.CoorFormat.Pdb
        structure = gemmi.read_structure(str(path), format=kind)
    except (OSError, ValueError, RuntimeError, IndexError) as problem:
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise InputError(f"{path} cannot be read as a structure ({reason}); give a PDB or mmCIF file.") from None
    if len(structure) == 0:
        raise InputError(f"{path} holds no atomic model; give a PDB or mmCIF file with atoms.")
    structure.setup_entities()
    return structure


Operation = tuple["frozenset[str] | None", "frozenset[str] | None", "NDArray[np.float64]", "NDArray[np.float64]"]
"""Chains or subchains it copies (None: by the other; both None: all), rotation and translation."""

_IDENTITY: Final[Operation] = (None, None, np.eye(3), np.zeros(3))


def _check_assembly(path: Path | str, assembly: str, names: list[str]) -> None:
    if assembly not in (FIRST_ASSEMBLY, NO_ASSEMBLY, *names):
        there = ", ".join(names) or "none"
        raise InputError(f"{path} has no assembly '{assembly}' (there: {there}); give one of those, first or none.")


def _operations(path: Path | str, structure: gemmi.Structure, assembly: str) -> Iterator[Operation]:
    """Yield what builds the assembly."""
    if assembly == NO_ASSEMBLY or (assembly == FIRST_ASSEMBLY and not structure.assemblies):
        yield _IDENTITY
        return
    names = [one.name for one in structure.assemblies]
    _check_assembly(path, assembly, names)
    chosen = structure.assemblies[0 if assembly == FIRST_ASSEMBLY else names.index(assembly)]
    for generator in chosen.generators:
        chains = frozenset(generator.chains) or None
        subchains = None if chains else frozenset(generator.subchains)
        for operator in generator.operators:
            transform = operator.transform
            yield chains, subchains, np.array(transform.mat.tolist()), np.array(transform.vec.tolist())


@dataclass(frozen=True)
class _Nature:
    """Whether a residue is water or nucleic acid, its mass in a polymer (0: unknown), and its hydrogens."""

    water: bool
    nucleic: bool
    dalton: float
    hydrogens: int


class _Table:
    """Atoms of the file, filled residue by residue."""

    def __init__(self, path: Path | str) -> None:
        self.path = path
        self.kinds: dict[tuple[str, bool, bool], int] = {}
        self.positions: list[tuple[float, float, float]] = []
        self.occupancies: list[float] = []
        self.kind_of_atom: list[int] = []
        self.masses: list[float] = []
        self.strands: dict[tuple[str, str], int] = {}
        self.strand_of_atom: list[int] = []
        self.trace: list[tuple[int, int, str]] = []
        self.residue_of_atom: list[int] = []
        self.expected_dalton: list[float] = []
        self._residues: dict[str, _Nature] = {}

    def add(self, residue: gemmi.Residue, chain: str) -> None:
        """Take over a residue's atoms, unless it is water."""
        nature = self._nature(residue)
        if nature.water:
            return
        strand = self.strands.setdefault((chain, residue.subchain), len(self.strands))
        hydrogens = sum(atom.element.is_hydrogen for atom in residue)
        explicit = hydrogens > _COMPLETE_HYDROGENS * nature.hydrogens
        traced = False
        for atom in residue:
            element = atom.element.name
            if atom.element.is_hydrogen and not explicit:
                continue
            implied = not explicit and element in _BINDS_HYDROGEN
            key = (element, nature.nucleic, implied)
            if key not in self.kinds:
                self._check(atom, residue, chain)
            if atom.name in _TRACE_ATOMS and element == "C" and not traced and atom.occ > 0:
                self.trace.append((len(self.positions), int(residue.seqid.num or 0), residue.name))
                traced = True
            self.kind_of_atom.append(self.kinds.setdefault(key, len(self.kinds)))
            self.positions.append((atom.pos.x, atom.pos.y, atom.pos.z))
            self.occupancies.append(atom.occ)
            self.masses.append(atom.element.weight + implied * HYDROGENS_PER_ATOM[nature.nucleic] * _HYDROGEN_DALTON)
            self.strand_of_atom.append(strand)
            self.residue_of_atom.append(len(self.expected_dalton))
        self.expected_dalton.append(nature.dalton)

    def complete(self) -> NDArray[np.float64]:
        """Return occupancies, raised where a model shows only the trace or the backbone of its residues.

        Models of low resolution leave out side chains or phosphates. What is left then stands for the whole residue,
        so that mass and contrast are the particle's own. Models that lack little are taken as they are.
        """
        occupancies = np.array(self.occupancies, np.float64)
        residues = np.array(self.residue_of_atom, np.int64)
        expected = np.array(self.expected_dalton, np.float64)
        shown = np.bincount(residues, occupancies * np.array(self.masses, np.float64), len(expected))
        known = (expected > 0) & (shown > 0)
        if not known.any() or shown[known].sum() > _COMPLETE_SHARE * expected[known].sum():
            return occupancies
        scale = np.ones(len(expected))
        scale[known] = np.maximum(1.0, expected[known] / shown[known])
        return np.asarray(occupancies * scale[residues], np.float64)

    def assembled(self, operations: list[Operation]) -> AtomicModel:
        """Copy the atoms by the operations of an assembly."""
        positions = np.array(self.positions, np.float64)
        occupancies = self.complete()
        kinds = np.array(self.kind_of_atom, np.int64)
        masses = np.array(self.masses, np.float64) * occupancies
        strands = np.array(self.strand_of_atom, np.int64)
        keys = list(self.strands)
        traces = self._traces(strands)
        pieces, takes, chains = [], [], []
        for by_chain, by_subchain, rotation, shift in operations:
            wanted = np.array(
                [(by_chain is None or c in by_chain) and (by_subchain is None or s in by_subchain) for c, s in keys]
            )
            take = np.flatnonzero(wanted[strands])
            takes.append(take)
            pieces.append(positions[take] @ rotation.T + shift)
            for strand in np.flatnonzero(wanted).tolist():
                if strand in traces:
                    atoms, numbers, names = traces[strand]
                    chains.append(Chain(numbers, names, positions[atoms] @ rotation.T + shift))
        taken = np.concatenate(takes)
        if not len(taken) or not occupancies[taken].any():
            raise InputError(f"{self.path} names no atom in its assembly; ask for assembly none.")
        return AtomicModel(
            tuple(_atom_kind(*key) for key in self.kinds),
            kinds[taken],
            np.concatenate(pieces),
            occupancies[taken],
            float(masses[taken].sum()) / 1e3,
            tuple(chains),
        )

    def _traces(self, strands: NDArray[np.int64]) -> dict[int, tuple[list[int], NDArray[np.int64], tuple[str, ...]]]:
        """Return atoms, residue numbers and residue names along each strand."""
        gathered: dict[int, list[tuple[int, int, str]]] = {}
        for entry in self.trace:
            gathered.setdefault(int(strands[entry[0]]), []).append(entry)
        return {
            strand: ([e[0] for e in run], np.array([e[1] for e in run], np.int64), tuple(e[2] for e in run))
            for strand, run in gathered.items()
        }

    def _nature(self, residue: gemmi.Residue) -> _Nature:
        import gemmi

        if residue.name not in self._residues:
            info = gemmi.find_tabulated_residue(residue.name)
            nucleic = info.is_nucleic_acid() or (not info.found() and any(atom.name == "C1'" for atom in residue))
            polymer = info.found() and (info.is_amino_acid() or info.is_nucleic_acid())
            self._residues[residue.name] = _Nature(
                info.is_water(), nucleic, info.weight - _WATER_DALTON if polymer else 0.0, info.hydrogen_count
            )
        return self._residues[residue.name]

    def _check(self, atom: gemmi.Atom, residue: gemmi.Residue, chain: str) -> None:
        """Refuse an element without scattering factors."""
        if atom.element.atomic_number == 0 or atom.element.c4322 is None:
            raise InputError(
                f"{self.path}: atom {atom.name} of residue {residue.name} {residue.seqid} in chain {chain} "
                f"is of unknown element '{atom.element.name}'; correct its element column."
            )


def _atom_kind(element: str, nucleic: bool, implied_hydrogens: bool) -> AtomKind:
    """Return how an element scatters, with the hydrogens it is thought to carry."""
    import gemmi

    factor = gemmi.Element(element).c4322
    amplitudes, widths = list(factor.a), list(factor.b)
    if implied_hydrogens:
        hydrogen = gemmi.Element("H").c4322
        amplitudes += [HYDROGENS_PER_ATOM[nucleic] * a for a in hydrogen.a]
        widths += list(hydrogen.b)
    volume = 0.0 if element in ("H", "D") else VOLUME_PER_ATOM_A3[nucleic]
    return AtomKind(tuple(amplitudes), tuple(widths), volume)
