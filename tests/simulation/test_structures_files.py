"""Species from PDB and mmCIF files: what is taken, what is refused, assemblies, mass, symmetry."""

import gzip
import re
from pathlib import Path

import gemmi
import numpy as np
import pytest
from scipy import ndimage

from cryosiam.errors import InputError
from cryosiam.simulation.atoms import read_atoms
from cryosiam.simulation.sources import load_species
from cryosiam.simulation.spec import SpeciesSpec
from cryosiam.simulation.structures import species_from_structure

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"real structures are not at {DATA}")


def atom_line(number, name, residue, chain, sequence, place, element, occupancy=1.0):
    x, y, z = place
    record = "HETATM" if residue in ("HOH", "UNK") else "ATOM  "
    return (
        f"{record}{number:5d} {name:<4s} {residue:>3s} {chain}{sequence:4d}    {x:8.3f}{y:8.3f}{z:8.3f}"
        f"{occupancy:6.2f}{20.0:6.2f}          {element:>2s}"
    )


def helix(
    chain="A", residues=40, shift=(0.0, 0.0, 0.0), axis_turn=0.0, names=("ALA",), atoms=("N", "CA", "C", "O", "CB")
):
    """Lines of a helix about z, moved off the axis."""
    lines, number = [], 1
    for index in range(residues):
        residue = names[index % len(names)]
        for place, name in enumerate(atoms):
            angle = np.radians(100 * index + 22 * place)
            radius = 2.3 if name == "CA" else 1.7 + 0.4 * place
            point = np.array([radius * np.cos(angle) + 12, radius * np.sin(angle), 1.5 * index + 0.4 * place])
            c, s = np.cos(np.radians(axis_turn)), np.sin(np.radians(axis_turn))
            turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ point + shift
            lines.append(atom_line(number, f" {name}", residue, chain, index + 1, turned, name[0]))
            number += 1
    return lines


def write(path, lines):
    path.write_text("\n".join([*lines, "END", ""]))
    return path


def test_cif_pdb_and_gzip_give_the_same_species(tmp_path):
    pdb = write(tmp_path / "one.pdb", helix())
    structure = gemmi.read_structure(str(pdb))
    structure.setup_entities()
    cif = tmp_path / "one.cif"
    structure.make_mmcif_document().write_file(str(cif))
    zipped = tmp_path / "one.cif.gz"
    zipped.write_bytes(gzip.compress(cif.read_bytes()))
    first = species_from_structure(pdb, "one", 5.0)
    for other in (cif, zipped):
        same = species_from_structure(other, "one", 5.0)
        assert np.allclose(same.density, first.density, atol=1e-3)
        assert same.mass_kda == pytest.approx(first.mass_kda)


def test_water_is_left_out_and_hydrogens_are_implied_where_none_are_shown(tmp_path):
    bare = read_atoms(write(tmp_path / "bare.pdb", helix()))
    watery = read_atoms(write(tmp_path / "wet.pdb", [*helix(), atom_line(900, " O", "HOH", "W", 1, (90, 0, 0), "O")]))
    assert watery.mass_kda == pytest.approx(bare.mass_kda)
    # Alanine in a chain weighs 71.08 Da.
    assert bare.mass_kda == pytest.approx(40 * 71.08 / 1e3, rel=0.01)
    hydrogens = [
        atom_line(500 + 5 * i + j, f" H{j}", "ALA", "A", i + 1, (1.0 * j, 0, 1.5 * i), "H")
        for i in range(40)
        for j in range(5)
    ]
    with_hydrogens = read_atoms(write(tmp_path / "hydrogens.pdb", [*helix(), *hydrogens]))
    assert with_hydrogens.mass_kda == pytest.approx(bare.mass_kda, rel=0.01)
    polar = [atom_line(500 + i, " H", "ALA", "A", i + 1, (0, 0, 1.5 * i), "H") for i in range(40)]
    assert read_atoms(write(tmp_path / "polar.pdb", [*helix(), *polar])).mass_kda == pytest.approx(bare.mass_kda)


def test_a_model_of_traces_only_stands_for_whole_residues(tmp_path):
    trace = read_atoms(write(tmp_path / "trace.pdb", helix(atoms=("CA",), names=("LEU", "LYS"))))
    assert trace.mass_kda == pytest.approx(20 * (113.16 + 128.17) / 1e3, rel=0.02)


BIOMT = [
    "REMARK 350 BIOMOLECULE: 1",
    "REMARK 350 APPLY THE FOLLOWING TO CHAINS: A",
    "REMARK 350   BIOMT1   1  1.000000  0.000000  0.000000        0.00000",
    "REMARK 350   BIOMT2   1  0.000000  1.000000  0.000000        0.00000",
    "REMARK 350   BIOMT3   1  0.000000  0.000000  1.000000        0.00000",
    "REMARK 350   BIOMT1   2 -1.000000  0.000000  0.000000        0.00000",
    "REMARK 350   BIOMT2   2  0.000000 -1.000000  0.000000        0.00000",
    "REMARK 350   BIOMT3   2  0.000000  0.000000  1.000000        0.00000",
]


def test_the_assembly_asked_for_is_built(tmp_path):
    path = write(tmp_path / "half.pdb", [*BIOMT, *helix()])
    whole, half = read_atoms(path), read_atoms(path, "none")
    assert whole.mass_kda == pytest.approx(2 * half.mass_kda)
    assert read_atoms(path, "1").mass_kda == pytest.approx(whole.mass_kda)
    assert species_from_structure(path, "two", 5.0).symmetry == "C2"
    assert species_from_structure(path, "one", 5.0, assembly="none").symmetry == "C1"
    with pytest.raises(InputError, match=r"no assembly '7' \(there: 1\)"):
        read_atoms(path, "7")


@pytest.mark.parametrize(("copies", "group"), [(1, "C1"), (2, "C2"), (5, "C5"), (7, "C7")])
def test_rings_have_their_symmetry(tmp_path, copies, group):
    lines = [line for i in range(copies) for line in helix(chain="ABCDEFG"[i], axis_turn=360 / copies * i)]
    assert species_from_structure(write(tmp_path / "ring.pdb", lines), "ring", 8.0).symmetry == group


def test_a_ring_with_one_copy_out_of_place_has_none(tmp_path):
    lines = [line for i in range(4) for line in helix(chain="ABCD"[i], axis_turn=90 * i, shift=(0, 0, 25.0 * (i == 3)))]
    assert species_from_structure(write(tmp_path / "ring.pdb", lines), "ring", 8.0).symmetry == "C1"


def test_a_ring_with_one_copy_upside_down_has_none(tmp_path):
    def turned_over(line):
        y, z = float(line[38:46]), float(line[46:54])
        return f"{line[:38]}{-y:8.3f}{58.5 - z:8.3f}{line[54:]}"

    lines = [line for i in range(4) for line in helix(chain="ABCD"[i], axis_turn=90 * i)]
    odd = [turned_over(line) if line[21] == "A" else line for line in lines]
    assert species_from_structure(write(tmp_path / "even.pdb", lines), "even", 8.0).symmetry == "C4"
    assert species_from_structure(write(tmp_path / "odd.pdb", odd), "odd", 8.0).symmetry == "C1"


@pytest.mark.parametrize(
    ("name", "lines", "sentence"),
    [
        ("unknown.pdb", [atom_line(1, " QX", "UNK", "B", 7, (0, 0, 0), "QX")], r"atom QX of residue UNK 7 in chain B"),
        ("empty.pdb", [], "holds no atom"),
        ("water.pdb", [atom_line(1, " O", "HOH", "W", 1, (0, 0, 0), "O")], "holds no atom but water"),
        (
            "nowhere.pdb",
            [atom_line(1, " CA", "ALA", "A", 1, (0, float("nan"), 0), "C")],
            "position or occupancy that is",
        ),
        ("ghost.pdb", [atom_line(1, " CA", "ALA", "A", 1, (0, 0, 0), "C", 0.0)], "occupancy of 0"),
    ],
)
def test_files_without_usable_atoms_are_refused_in_one_sentence(tmp_path, name, lines, sentence):
    with pytest.raises(InputError, match=sentence) as refused:
        species_from_structure(write(tmp_path / name, lines), "one", 8.0)
    assert "\n" not in str(refused.value)


def test_files_that_are_no_structures_are_refused_in_one_sentence(tmp_path):
    broken = tmp_path / "broken.cif.gz"
    broken.write_bytes(gzip.compress(b"data_x\nloop_\n_atom_site.id\n")[:-7])
    binary = tmp_path / "binary.cif"
    binary.write_bytes(bytes(range(256)) * 8)
    for path in (broken, binary):
        with pytest.raises(InputError, match=r"cannot be read as a structure|holds no atom") as refused:
            species_from_structure(path, "one", 8.0)
        assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match="is not there"):
        species_from_structure(tmp_path / "none.pdb", "one", 8.0)


def test_a_particle_too_large_for_its_voxels_is_refused(tmp_path):
    far = [*helix(), *[line.replace(" A ", " B ") for line in helix(shift=(900.0, 0, 0))]]
    with pytest.raises(InputError, match="too far for voxels of 1 Å; ask for"):
        species_from_structure(write(tmp_path / "far.pdb", far), "far", 1.0)


@pytest.mark.parametrize("shift", [300.0, 700.0, 800.0])
def test_the_voxel_asked_for_is_large_enough(tmp_path, shift):
    far = [*helix(residues=4), *[line.replace(" A ", " B ") for line in helix(residues=4, shift=(shift, 0, 0))]]
    path = write(tmp_path / "far.pdb", far)
    with pytest.raises(InputError, match="too far") as refused:
        species_from_structure(path, "far", 0.5)
    asked = float(re.findall(r"ask for ([0-9.]+) Å", str(refused.value))[0])
    model = read_atoms(path)
    reach = np.linalg.norm(
        model.positions - np.average(model.positions, axis=0, weights=model.volumes_a3), axis=1
    ).max()
    # The cube of at most 401 voxels leaves three free at either end.
    assert np.ceil(reach / asked) <= 197 < np.ceil(reach / (asked - 0.1))


def models(*parts):
    numbered = enumerate(parts, start=1)
    return [line for number, part in numbered for line in (f"MODEL     {number:4d}", *part, "ENDMDL")]


@pytest.mark.parametrize("ending", [".pdb1", ".pdb2", ".pdb1.gz"])
def test_the_models_of_an_assembly_file_are_its_parts(tmp_path, ending):
    # The records of the entry remain in such files: they are not to be followed a second time.
    lines = [*BIOMT, *models(helix(), helix(axis_turn=180))]
    path = write(tmp_path / f"pair{ending.removesuffix('.gz')}", lines)
    if ending.endswith(".gz"):
        path = tmp_path / "pair.pdb1.gz"
        path.write_bytes(gzip.compress((tmp_path / "pair.pdb1").read_bytes()))
    single = read_atoms(write(tmp_path / "one.pdb", helix()))
    pair = load_species(SpeciesSpec(name="pair", source=str(path)), 5.0)
    assert pair.mass_kda == pytest.approx(2 * single.mass_kda)
    assert pair.symmetry == "C2"
    assert read_atoms(path, ending[4]).mass_kda == pytest.approx(pair.mass_kda)
    assert read_atoms(path, "none").mass_kda == pytest.approx(single.mass_kda)
    with pytest.raises(InputError, match=r"no assembly '7' \(there: [12]\)"):
        read_atoms(path, "7")


@pytest.mark.parametrize("name", ["ensemble.pdb", "ensemble.pdb1"])
def test_of_an_ensemble_the_first_model_is_taken(tmp_path, name):
    first = helix()
    path = write(tmp_path / name, ["EXPDTA    SOLUTION NMR", *models(first, helix(shift=(1.0, 0, 0)))])
    assert len(read_atoms(path).positions) == len(first)


def kda_by_contrast(species, voxel):
    return species.density.sum(dtype=np.float64) * voxel**3 / 1.23 / 1e3


@needs_data
@pytest.mark.parametrize(
    ("file", "kda", "group"),
    [
        ("6z6u.pdb.gz", 480, "O"),
        ("1bxn.pdb.gz", 530, "D4"),  # the file holds half of the complex
        ("3h84.pdb.gz", 155, "C2"),  # likewise
        ("1kx5.pdb.gz", 205, "C2"),
        ("2buk.pdb.gz", 1220, "I"),  # a sixtieth
        ("1igy.cif.gz", 148, "C1"),  # with polar hydrogens only
    ],
)
def test_real_complexes_have_their_mass_contrast_and_symmetry(file, kda, group):
    species = species_from_structure(DATA / "structures" / file, "one", 8.0)
    assert species.mass_kda == pytest.approx(kda, rel=0.1)
    assert kda_by_contrast(species, 8.0) == pytest.approx(species.mass_kda, rel=0.06)
    assert species.symmetry == group


@needs_data
def test_protein_has_unit_contrast_and_nucleic_acid_about_one_and_a_half():
    protein = read_atoms(DATA / "structures" / "1s3x.pdb.gz")
    rna = read_atoms(DATA / "structures" / "4v4r_30S.pdb.gz")

    def contrast(model, volume_a3):
        chosen = np.array([kind.solvent_volume_a3 == volume_a3 for kind in model.kinds])[model.kind_of_atom]
        values = np.array([kind.contrast_volt_a3 for kind in model.kinds])[model.kind_of_atom]
        return (values * model.occupancies)[chosen].sum() / model.volumes_a3[chosen].sum() / 3.4

    assert contrast(protein, 17.4) == pytest.approx(1.0, abs=0.05)
    assert contrast(rna, 13.7) == pytest.approx(1.45, abs=0.1)


@needs_data
def test_species_hardly_depend_on_the_voxel_size():
    path = DATA / "structures" / "1u6g.pdb.gz"
    reference = species_from_structure(path, "one", 6.8)
    for voxel in (3.0, 10.0, 14.0):
        other = species_from_structure(path, "one", voxel)
        assert kda_by_contrast(other, voxel) == pytest.approx(kda_by_contrast(reference, 6.8), rel=0.005)
        assert other.radius_angstrom == pytest.approx(reference.radius_angstrom, abs=voxel)
        half = other.mask.shape[0] // 2
        assert np.allclose(np.array(ndimage.center_of_mass(other.mask)) - half, 0, atol=3 / voxel + 0.3)
