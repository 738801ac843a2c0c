"""Whole simulations: specimen, microscope and reconstruction agree with each other and with their recipe."""

from __future__ import annotations

import dataclasses
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cryosiam.domain import SEMANTIC_CLASSES, Picks
from cryosiam.errors import InputError
from cryosiam.geometry import indices_from_positions
from cryosiam.simulation.build import build_specimen, species_wanted
from cryosiam.simulation.draw import draw_spec
from cryosiam.simulation.run import image_specimen, simulate
from cryosiam.simulation.shapes import builtin_shape, builtin_species
from cryosiam.simulation.spec import SimulationSpec, SpeciesSpec, fixed
from cryosiam.simulation.species import species_from_density
from cryosiam.simulation.tomogram import SimulatedTomogram, Specimen

SPECIES = {one.name: one for one in builtin_species(10.0)}
RECIPES = [{"name": name, "source": f"builtin:{name}"} for name in SPECIES]


def recipe(specimen: dict[str, Any] | None = None, **changes: Any) -> SimulationSpec:
    content: dict[str, Any] = {
        "shape_zyx": (48, 96, 90),
        "specimen": {
            "slab": {"thickness_nm": 42},
            "membranes": {"vesicles": 1, "vesicle_diameter_nm": (30, 36)},
            "filaments": {"microtubules": 1, "actin": 2, "dna": 2},
            "occupancy": 0.3,
            "species": RECIPES,
            **(specimen or {}),
        },
        **changes,
    }
    return SimulationSpec.model_validate(content)


PARTICLES_ONLY = {"membranes": {}, "filaments": {}}


@pytest.fixture(scope="module")
def scene() -> SimulatedTomogram:
    return simulate(recipe(), SPECIES, seed=7)


def arrays(value: object, prefix: str = "") -> dict[str, bytes]:
    """Return the bytes of every array in nested dataclasses."""
    found: dict[str, bytes] = {}
    for field in dataclasses.fields(value):  # type: ignore[arg-type]
        inner = getattr(value, field.name)
        name = f"{prefix}{field.name}"
        if isinstance(inner, np.ndarray):
            found[name] = inner.tobytes()
        elif dataclasses.is_dataclass(inner):
            found.update(arrays(inner, f"{name}."))
        elif isinstance(inner, tuple) and inner and isinstance(inner[0], np.ndarray):
            found.update({f"{name}[{i}]": one.tobytes() for i, one in enumerate(inner)})
    return found


def test_a_seed_gives_the_same_bytes_on_any_number_of_threads(scene: SimulatedTomogram) -> None:
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        again = simulate(recipe(), SPECIES, seed=7)
    finally:
        numba.set_num_threads(before)
    first, second = arrays(scene), arrays(again)
    assert len(first) > 15
    assert {name for name in first if first[name] != second[name]} == set()
    assert scene.specimen.picks.class_names == again.specimen.picks.class_names
    other = simulate(recipe(), SPECIES, seed=8)
    assert not np.array_equal(scene.specimen.semantic, other.specimen.semantic)


def test_one_specimen_can_be_imaged_twice(scene: SimulatedTomogram) -> None:
    second = image_specimen(scene.specimen, recipe(), 2)
    assert np.array_equal(scene.clean, second.clean)
    correlation = np.corrcoef(scene.noisy.ravel(), second.noisy.ravel())[0, 1]
    assert 0.01 < correlation < 0.9


def test_types_and_units_are_as_promised(scene: SimulatedTomogram) -> None:
    specimen = scene.specimen
    assert scene.noisy.dtype == scene.clean.dtype == np.float32
    assert (specimen.semantic.dtype, specimen.instances.dtype, specimen.sample_mask.dtype) == (np.uint8, np.int32, bool)
    assert scene.noisy.shape == scene.clean.shape == specimen.scaffold.shape == (48, 96, 90)
    assert abs(float(scene.noisy.mean())) < 1e-3
    assert float(scene.noisy.std()) == pytest.approx(1, abs=1e-3)
    assert np.median(scene.clean[specimen.instances > 0]) == pytest.approx(-0.9, abs=0.25)
    solvent = ndimage.binary_erosion(specimen.semantic == 0, iterations=2)
    assert np.abs(scene.clean[solvent]).mean() < 0.02
    assert (scene.wedge.tilt_min_deg, scene.wedge.tilt_max_deg) == (-60, 60)
    assert scene.series is not None
    assert len(scene.series.images) == 41


def test_protein_is_dark_in_every_volume(scene: SimulatedTomogram) -> None:
    assert scene.halves is not None
    assert scene.corrected is not None
    inside = scene.specimen.instances > 0
    for volume in (scene.noisy, scene.corrected, *scene.halves):
        assert volume[inside].mean() < volume[~inside].mean()


@given(seed=st.integers(0, 2**32 - 1), occupancy=st.floats(0, 0.4))
@settings(max_examples=5, deadline=None)
def test_labels_agree_with_picks(seed: int, occupancy: float) -> None:
    specimen = build_specimen(recipe({"occupancy": occupancy}), SPECIES, seed)
    particle = SEMANTIC_CLASSES.index("particle")
    assert np.array_equal(specimen.semantic == particle, specimen.instances > 0)
    assert np.unique(specimen.instances[specimen.instances > 0]).tolist() == specimen.picks.instance_ids.tolist()
    assert not (specimen.semantic[~specimen.sample_mask] > 0).any()
    assert not ((specimen.scaffold > 0) & (specimen.instances > 0)).any()
    assert np.array_equal(specimen.panoptic() > 0, specimen.semantic > 0)
    assert specimen.scaffold.max() <= len(specimen.scaffold_kinds)
    for position, name, label in zip(
        specimen.picks.positions_angstrom, specimen.picks.class_names, specimen.picks.instance_ids, strict=True
    ):
        voxels = np.argwhere(specimen.instances == label)[:, ::-1] * 10.0
        assert np.linalg.norm(voxels - position, axis=1).max() <= SPECIES[name].radius_angstrom + 15


def test_rotations_turn_the_object_into_the_tomogram() -> None:
    grid = np.meshgrid(*[np.arange(-12.0, 13)] * 3, indexing="ij")
    body = np.zeros((25, 25, 25))
    # An object without symmetry, mirror symmetry included: (x, y, z) of unequal balls.
    for (x, y, z), weight in {(0, 0, 0): 1.0, (7, 0, 0): 2.0, (0, 6, 0): 3.0, (0, 0, 5): 4.0}.items():
        body += weight * np.exp(-((grid[2] - x) ** 2 + (grid[1] - y) ** 2 + (grid[0] - z) ** 2) / 5)
    one = species_from_density("corner", body, 10.0)
    wanted = recipe({**PARTICLES_ONLY, "occupancy": 0.03, "species": [{"name": "corner", "source": "builtin:cage"}]})
    specimen = build_specimen(wanted, {"corner": one}, 5)
    half = one.density.shape[0] // 2
    probes = np.argwhere(one.density > 0.8)[:, ::-1] - half
    expected = one.density[tuple((probes + half).T[::-1])]
    compared = 0
    assert specimen.picks.rotations is not None
    for position, rotation in zip(specimen.picks.positions_angstrom, specimen.picks.rotations, strict=True):
        indices = indices_from_positions(position + 10.0 * probes @ rotation.T, 10.0)
        if (indices < 1).any() or (indices > np.array(wanted.shape_zyx) - 2).any():
            continue
        seen = ndimage.map_coordinates(specimen.density, indices.T, order=1)
        assert np.corrcoef(seen, expected)[0, 1] > 0.97
        compared += 1
    assert compared >= 2


@pytest.mark.parametrize("path", ["exact", "fast"])
@pytest.mark.parametrize("shape", [(40, 48, 64), (41, 49, 63)])
def test_a_bead_is_reconstructed_at_its_place(shape: tuple[int, int, int], path: str) -> None:
    z, y, x = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    where = (26, 14, 40)
    bead = 5 * np.exp(-((z - where[0]) ** 2 + (y - where[1]) ** 2 + (x - where[2]) ** 2) / 3).astype(np.float32)
    specimen = Specimen(
        voxel_size_angstrom=10.0,
        density=bead,
        unlabelled=np.zeros(shape, np.float32),
        semantic=np.zeros(shape, np.uint8),
        instances=np.zeros(shape, np.int32),
        scaffold=np.zeros(shape, np.uint16),
        scaffold_kinds=(),
        sample_mask=bead > 1,
        picks=Picks("bead", np.zeros((0, 3)), np.zeros(0), ()),
        radii_angstrom={},
    )
    quiet = {"detector": {"counting_noise": False}, "alignment": {"shift_angstrom": 0, "rotation_deg": 0}}
    spec = recipe({"slab": {"thickness_nm": 30}}, shape_zyx=shape, microscope=quiet, path=path)
    volume = image_specimen(specimen, spec, 0).noisy
    assert np.unravel_index(volume.argmin(), shape) == where


@pytest.mark.parametrize("path", ["exact", "fast"])
def test_no_signal_or_noise_where_no_tilt_looked(path: str) -> None:
    tilts = {"tilts": {"min_deg": -40, "max_deg": 60}}
    noisy = simulate(recipe(shape_zyx=(64, 64, 64), microscope=tilts, path=path), SPECIES, 2).noisy
    window = np.hanning(64)
    power = np.abs(np.fft.fftn(noisy * window[:, None, None] * window)) ** 2
    k = np.fft.fftfreq(64)
    kz, kx = k[:, None, None], k[None, None, :]
    angle = np.broadcast_to(np.rad2deg(np.arctan2(kz * np.sign(kx + 1e-9), np.abs(kx) + 1e-9)), power.shape)
    band = np.broadcast_to((np.hypot(kz, kx) > 0.12) & (np.hypot(kz, kx) < 0.3), power.shape)
    seen = power[band & (angle > -35) & (angle < 55)].mean()
    assert power[band & (np.abs(angle) > 68)].mean() < 0.02 * seen
    assert power[band & (angle < -48) & (angle > -68)].mean() < 0.02 * seen
    assert power[band & (angle > 48) & (angle < 57)].mean() > 0.3 * seen


@pytest.fixture(scope="module")
def crowded() -> Specimen:
    return build_specimen(recipe({**PARTICLES_ONLY, "occupancy": 0.5}, shape_zyx=(64, 72, 80)), SPECIES, 4)


@pytest.mark.parametrize("path", ["exact", "fast"])
def test_a_phase_plate_keeps_the_beam_through_a_crowded_specimen(crowded: Specimen, path: str) -> None:
    counts, fidelity = [], []
    for plate, defocus in ((0.0, 3.0), (90.0, 0.5)):
        optics = {"phase_shift_deg": plate, "defocus_um": defocus}
        spec = recipe(shape_zyx=(64, 72, 80), microscope={"optics": optics}, path=path)
        made = image_specimen(crowded, spec, 1)
        fidelity.append(-float(np.corrcoef(made.noisy.ravel(), crowded.density.ravel())[0, 1]))
        if made.series is not None:
            counts.append(made.series.images.mean(axis=(1, 2)))
    # The plate shows low frequencies, which defocus does not.
    assert fidelity[1] > fidelity[0] > 0.05
    if counts:
        assert counts[1] == pytest.approx(counts[0], rel=0.1)


def test_more_dose_means_less_noise(scene: SimulatedTomogram) -> None:
    def fidelity(dose: float) -> float:
        exposure = {"exposure": {"total_dose": dose, "radiation_damage": False}}
        noisy = image_specimen(scene.specimen, recipe(microscope=exposure), 1).noisy
        return -float(np.corrcoef(noisy.ravel(), scene.specimen.density.ravel())[0, 1])

    assert fidelity(1000) > fidelity(100) > fidelity(5) > 0


def test_nucleosomes_come_with_the_dna_that_carries_them() -> None:
    wanted = recipe({"filaments": {"dna": 2, "dna_length_nm": (150, 300), "nucleosomes": 3}, "occupancy": 0})
    assert [one.name for one in species_wanted(wanted)] == [*SPECIES, "nucleosome"]
    specimen = build_specimen(wanted, {**SPECIES, "nucleosome": builtin_shape("nucleosome", 10.0)}, 3)
    assert specimen.picks.class_names == ("nucleosome",) * 3


def test_a_species_wider_than_the_slab_is_left_out_or_refused() -> None:
    thin = {"slab": {"thickness_nm": 20, "roughness_angstrom": 0}, **PARTICLES_ONLY}
    specimen = build_specimen(recipe(thin), SPECIES, 1)
    assert "capsid" not in specimen.picks.class_names
    assert specimen.shortfall is not None
    assert "capsid" in specimen.shortfall
    for species in ([RECIPES[0]], [{**RECIPES[0], "count": 3}, *RECIPES[1:]]):
        with pytest.raises(InputError, match="capsid is 29 nm across and does not fit a slab 20 nm thick"):
            build_specimen(recipe({**thin, "species": species}), SPECIES, 1)


def test_what_was_asked_for_and_not_placed_is_said() -> None:
    specimen = build_specimen(
        recipe(
            {
                "slab": {"thickness_nm": 37},
                "membranes": {"vesicles": 2, "vesicle_diameter_nm": (26, 28), "protein_share": 0},
                "filaments": {"microtubules": 40, "actin": 1},
                "gold_beads": 300,
                "gold_diameter_nm": 20,
                "species": [{**RECIPES[0], "count": 900}, *RECIPES[1:]],
            },
            shape_zyx=(40, 56, 56),
        ),
        SPECIES,
        1,
    )
    assert specimen.shortfall is not None
    kinds, names = specimen.scaffold_kinds, specimen.picks.class_names
    assert f"{40 - kinds.count('microtubule')} of 40 microtubules" in specimen.shortfall
    assert f"{900 - names.count('capsid')} of 900 capsid" in specimen.shortfall
    assert " of 300 gold beads" in specimen.shortfall
    for name in set(SPECIES) - {"capsid"}:
        assert (f"any {name}" in specimen.shortfall) == (name not in names)
    for name, kind, asked in (("vesicles", "vesicle", 2), ("actin filaments", "actin", 1)):
        assert (f" of {asked} {name}" in specimen.shortfall) == (kinds.count(kind) < asked)
    assert "\n" not in specimen.shortfall


def test_a_recipe_that_was_followed_falls_short_of_nothing() -> None:
    for part in ({"occupancy": 0}, {"occupancy": 0, "membranes": {"sheets": 1}, "filaments": {"actin": 1, "dna": 1}}):
        assert build_specimen(recipe({**PARTICLES_ONLY, **part}), SPECIES, 1).shortfall is None
    counted = recipe({**PARTICLES_ONLY, "species": [{**RECIPES[-1], "count": 3}], "occupancy": 0})
    assert build_specimen(counted, SPECIES, 1).shortfall is None


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ({"species": []}, "the recipe lists no species, so it has no particles to place"),
        ({"species": [{**RECIPES[-1], "membrane": True}]}, f"no membrane to put {RECIPES[-1]['name']} into: ask for"),
        ({"species": [{**RECIPES[-1], "count": 2}]}, "the recipe lists no species without a count to fill it with"),
    ],
)
def test_what_cannot_be_placed_at_all_is_said(part: dict[str, Any], sentence: str) -> None:
    shortfall = build_specimen(recipe({**PARTICLES_ONLY, **part}, shape_zyx=(48, 48, 48)), SPECIES, 1).shortfall
    assert shortfall is not None
    assert sentence in shortfall
    assert "not placed" not in shortfall


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=50)
def test_drawn_recipes_are_reproducible_and_valid(seed: int) -> None:
    species = [SpeciesSpec(name="cage", source="builtin:cage")]
    spec = draw_spec(seed, species, (32, 64, 64), 13.0)
    assert spec == draw_spec(seed, species, (32, 64, 64), 13.0)
    assert (spec.shape_zyx, spec.voxel_size_angstrom) == ((32, 64, 64), 13.0)
    assert 0.3 <= fixed(spec.microscope.optics.defocus_um) <= 5
    assert SimulationSpec.model_validate(spec.model_dump()) == spec


@pytest.mark.parametrize("seed", range(3))
def test_drawn_recipes_can_be_simulated(seed: int) -> None:
    species = {**SPECIES, "nucleosome": builtin_shape("nucleosome", 10.0)}
    scene = simulate(draw_spec(seed, recipe().specimen.species, (48, 64, 72)), species, seed)
    assert np.isfinite(scene.noisy).all()
    assert scene.noisy.std() == pytest.approx(1, rel=1e-3)
