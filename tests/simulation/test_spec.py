"""Recipes: what is refused, and how ranges are drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryosiam.errors import InputError
from cryosiam.simulation.benchmark import choose, tomograms
from cryosiam.simulation.presets import preset_names
from cryosiam.simulation.spec import SimulationSpec, fixed, parse_spec, read_spec


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_recipes_of_their_name(name: str) -> None:
    assert read_spec(name).name == name


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("specimen: {slab: {thicknes: 3}}", "specimen.slab.thicknes"),
        ("a: [", "not readable YAML near line"),
        ("[1, 2]", "not a simulation recipe"),
        ("specimen: {occupancy: 0.95}", "occupancy must lie between 0 and 0.8"),
        ("specimen: {occupancy: [0.4, 0.2]}", "a range runs from low to high"),
        ("specimen: {slab: {thickness_nm: 200}}", "does not fit a volume 96 nm deep"),
        ("specimen: {slab: {thickness_nm: -1}}", "thickness_nm must be positive"),
        ("specimen: {filaments: {nucleosomes: 3}}", "nucleosomes need DNA"),
        ("specimen: {filaments: {protofilaments: [11, 13]}}", "between 12 and 15"),
        ("specimen: {species: [{name: a_b, source: x}]}", "species.0.name"),
        ("specimen: {species: [{name: a, source: x}, {name: a, source: y}]}", "named twice: a"),
        ("microscope: {tilts: {step_deg: 0}}", "tilts.step_deg"),
        ("microscope: {tilts: {min_deg: 20, max_deg: 10}}", "max_deg must not be below"),
        ("microscope: {exposure: {total_dose: -3}}", "total_dose must be positive"),
        ("microscope: {optics: {defocus_um: 30000}}", "it is in µm"),
        ("voxel_size_angstrom: 0", "voxel_size_angstrom"),
        ("voxel_size_angstrom: .nan", "voxel_size_angstrom"),
        ("shape_zyx: [4, 64, 64]", "between 16 and 4096"),
        ("noise: {share: 1.5}", "share must lie between 0 and 1"),
        ("shape_zyx: [1001, 1000, 1000]", "1.001 billion voxels, which would need about 50 GB of memory"),
        ("shape_zyx: [4096, 4096, 4096]", "68.72 billion voxels, which would need about 3436 GB of memory"),
        ("microscope: {tilts: {step_deg: 1.0e-9}}", "makes more than 1000 tilts"),
        ("microscope: {tilts: {group: 100000}}", "tilts.group"),
        ("microscope: {exposure: {total_dose: 1.0e+300}}", "total_dose must lie between 0 and 10000"),
        ("microscope: {exposure: {inelastic_mean_free_path_nm: 1.0e-9}}", "must be 0 (nothing is lost) or 10 and more"),
        ("microscope: {optics: {contrast_factor: 1.0e+9}}", "contrast_factor must lie between 0 and 100"),
        ("microscope: {optics: {astigmatism_um: 5000}}", "astigmatism_um must lie between 0 and 20"),
        ("microscope: {optics: {phase_shift_deg: [0, .inf]}}", "optics.phase_shift_deg"),
        ("microscope: {optics: {phase_shift_deg: 1.0e+30}}", "phase_shift_deg must lie between -360 and 360"),
        ("microscope: {optics: {phase_shift_per_tilt_deg: 1.0e+30}}", "optics.phase_shift_per_tilt_deg"),
        ("microscope: {optics: {envelope_b_factor: 1.0e+30}}", "envelope_b_factor must lie between 0 and 100000"),
        ("microscope: {optics: {defocus_spread_um: 1.0e+30}}", "optics.defocus_spread_um"),
        ("microscope: {alignment: {shift_angstrom: 1.0e+30}}", "shift_angstrom must lie between 0 and 1000"),
        ("microscope: {alignment: {rotation_deg: -1}}", "rotation_deg must lie between 0 and 45"),
        ("microscope: {alignment: {magnification: 3}}", "magnification must lie between 0 and 0.5"),
        ("microscope: {alignment: {blur_voxels: 1.0e+9}}", "blur_voxels must lie between 0 and 20"),
        ("microscope: {detector: {pixel_size_angstrom: 1.0e-30}}", "detector.pixel_size_angstrom"),
        ("specimen: {background_std: 1.0e+30}", "background_std must lie between 0 and 100"),
        ("specimen: {slab: {roughness_angstrom: 1.0e+30}}", "roughness_angstrom must lie between 0 and 1000"),
        ("specimen: {filaments: {dna: 1, dna_length_nm: [50, 1.0e+9]}}", "dna_length_nm must not exceed 100000"),
        ("specimen: {filaments: {actin: 100000}}", "specimen.filaments.actin"),
        ("specimen: {filaments: {dna: 1, nucleosomes: 1000000}}", "specimen.filaments.nucleosomes"),
        ("specimen: {membranes: {vesicles: 10001}}", "specimen.membranes.vesicles"),
        ("specimen: {membranes: {vesicle_diameter_nm: [50, 1.0e+300]}}", "vesicle_diameter_nm must not exceed 100000"),
        ("specimen: {gold_beads: 10001}", "specimen.gold_beads"),
        ("specimen: {species: [{name: a, source: x, count: 1000001}]}", "species.0.count"),
    ],
)
def test_bad_recipes_get_a_sentence_that_names_the_key(text: str, sentence: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse_spec(text, "mine.yaml")
    assert sentence in str(refusal.value)
    assert str(refusal.value).startswith("mine.yaml")
    assert "\n" not in str(refusal.value)


def test_a_recipe_that_is_not_there_names_the_presets(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give a YAML file, or one of the presets chromatin"):
        read_spec(tmp_path / "none.yaml")


def test_a_volume_of_a_billion_voxels_may_be_asked_for() -> None:
    assert parse_spec("shape_zyx: [1000, 1000, 1000]", "mine.yaml").shape_zyx == (1000, 1000, 1000)


@given(seed=st.integers(0, 2**31))
def test_ranges_are_drawn_once_and_for_all(seed: int) -> None:
    spec = SimulationSpec.model_validate(
        {
            "specimen": {"slab": {"thickness_nm": [60, 90]}, "membranes": {"vesicle_diameter_nm": [40, 50]}},
            "microscope": {"optics": {"defocus_um": [2, 5]}},
        }
    )
    drawn = spec.for_seed(seed)
    assert 60 <= fixed(drawn.specimen.slab.thickness_nm) <= 90
    assert 2 <= fixed(drawn.microscope.optics.defocus_um) <= 5
    # Drawn for each vesicle, not for the tomogram.
    assert drawn.specimen.membranes.vesicle_diameter_nm == (40, 50)
    assert drawn == spec.for_seed(seed) == drawn.for_seed(seed + 1)
    with pytest.raises(ValueError, match="was not drawn"):
        fixed(spec.specimen.slab.thickness_nm)


def test_the_benchmark_is_the_fixed_one() -> None:
    everything = {one.name: one for one in tomograms()}
    assert len(everything) == 16 + 200 + 40 + 40
    for name, thickness, defocus, occupancy in (("G1", 60, 2, 0.5), ("G4", 75, 4, 0.65), ("G8", 100, 4, 0.65)):
        spec = everything[name].spec
        assert spec.shape_zyx == (200, 600, 600)
        assert spec.voxel_size_angstrom == 6.8
        assert fixed(spec.specimen.slab.thickness_nm) == thickness
        assert fixed(spec.microscope.optics.defocus_um) == defocus
        assert fixed(spec.specimen.occupancy) == occupancy
        assert everything[name].seed == 9000 + int(name[1:])
    z4 = everything["Z4"]
    assert (z4.seed, z4.spec.shape_zyx, z4.spec.voxel_size_angstrom) == (9034, (184, 630, 630), 10)
    assert {one.name: one.count for one in z4.spec.specimen.species} == dict.fromkeys(
        ("apo-ferritin", "beta-galactosidase", "ribosome", "thyroglobulin", "virus-like-particle"), 40
    )
    chromatin = everything["C1"].spec.specimen.filaments
    assert (chromatin.dna, chromatin.nucleosomes) == (20, 200)


def test_parts_of_the_benchmark_are_chosen_by_name_group_and_seed() -> None:
    assert [one.name for one in choose(["G1", "train-txtl:301-302", "G1"])] == [
        "G1",
        "train-txtl-0301",
        "train-txtl-0302",
    ]
    assert len(choose(["test"])) == 16
    for word in ("G9", "train-general:500", "train-general:x"):
        with pytest.raises(InputError, match=word):
            choose([word])
