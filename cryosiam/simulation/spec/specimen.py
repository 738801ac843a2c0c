"""The specimen's part of a simulation recipe: slab, membranes, filaments, particles and what else is in the ice."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from cryosiam.simulation.spec.base import Drawn, SpecPart, check_lengths, check_within, highest, lowest

MAX_OCCUPANCY = 0.8
"""Largest share of the free space that can be asked for (thesis section 3.3)."""

MAX_BODIES = 10_000
"""Most membranes, filaments or gold beads of one kind."""

MAX_NUCLEOSOMES = 100_000
MAX_COUNT = 1_000_000
"""Most particles of one species that can be asked for by number."""


class SlabSpec(SpecPart):
    """The lamella or ice layer about the volume's centre; the rest of the volume is empty.

    Attributes
    ----------
    thickness_nm
        At the centre, along its normal.
    tilt_deg, azimuth_deg
        The normal leans ``tilt_deg`` from z towards ``azimuth_deg`` (from x to y).
    wedge_deg
        Angle between the two faces, as focused ion beams leave it; the slab grows thicker towards ``azimuth_deg``.
    roughness_angstrom
        Rms undulation of each face.
    """

    thickness_nm: Drawn = 70.0
    tilt_deg: Drawn = 4.0
    azimuth_deg: Drawn = 30.0
    wedge_deg: Drawn = 0.0
    roughness_angstrom: Drawn = 20.0

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if lowest(self.thickness_nm) <= 0:
            raise ValueError("thickness_nm must be positive")
        if highest(self.tilt_deg) > 45 or lowest(self.tilt_deg) < 0:
            raise ValueError("tilt_deg must lie between 0 and 45")
        if not (lowest(self.wedge_deg) >= 0 and highest(self.wedge_deg) <= 30):
            raise ValueError("wedge_deg must lie between 0 and 30")
        check_within(self, -360, 360, "azimuth_deg")
        check_within(self, 0, 1000, "roughness_angstrom")
        return self


class SpeciesSpec(SpecPart):
    """One kind of particle.

    Attributes
    ----------
    name
        Class name, without underscores.
    source
        ``builtin:NAME`` (parametric shape), ``library:NAME`` (see ``cryosiam structures list``), or the path of a
        PDB, mmCIF or MRC file, relative to the recipe or to the folder given with ``--structures``.
    count
        How many to place, where they fit. None gives it a random share of the volume that the occupancy leaves to all
        such species (uniform on the simplex; above an occupancy of 0.45 larger species get more); for species in
        membranes, an even share of the membranes' area.
    membrane
        It sits in membranes, the object's z axis along the membrane's normal (pointing out of the vesicle).
    membrane_centre_angstrom
        Height (z in the object) of the bilayer's middle above the centre of the density itself: the centre of its
        mask for a map or shape, of the atoms' volume for an atomic model; not the centre of the file's box.
    map_voxel_size_angstrom, inverted, bulk_density
        For MRC maps: true voxel size where the header is wrong, protein low instead of high, and density of the
        dense part (protein = 1).
    radius_angstrom
        For evaluation and copick; None takes the radius of the structure.
    assembly
        Biological assembly by name, ``first`` or ``none`` (the asymmetric unit). Of several models in a file the first
        is taken, as of an NMR ensemble; those of the Protein Data Bank's assembly files (``.pdb1``) are joined.
    """

    name: str = Field(min_length=1, pattern=r"^[^_/\s]+$")
    source: str = Field(min_length=1)
    count: int | None = Field(default=None, ge=0, le=MAX_COUNT)
    membrane: bool = False
    membrane_centre_angstrom: float = Field(default=0.0, ge=-1e4, le=1e4)
    map_voxel_size_angstrom: float | None = Field(default=None, ge=0.01, le=1000)
    inverted: bool = False
    bulk_density: float = Field(default=1.0, gt=0, le=100)
    radius_angstrom: float | None = Field(default=None, gt=0, le=1e4)
    assembly: str = "first"


class MembraneSpec(SpecPart):
    """Membranes: two leaflets each.

    Attributes
    ----------
    vesicles, vesicle_diameter_nm
        Round, slightly wobbly vesicles; the diameter of each is drawn from the range.
    irregular, irregular_diameter_nm
        Closed irregular shapes.
    sheets
        Undulating sheets through the volume.
    thickness_angstrom
        Distance of the two head-group layers, peak to peak.
    leaflet_width_angstrom
        Standard deviation of a head-group layer.
    protein_share
        Share of the membranes' area that membrane proteins cover, where they fit.
    """

    vesicles: int = Field(default=0, ge=0, le=MAX_BODIES)
    vesicle_diameter_nm: tuple[float, float] = (50.0, 120.0)
    irregular: int = Field(default=0, ge=0, le=MAX_BODIES)
    irregular_diameter_nm: tuple[float, float] = (80.0, 200.0)
    sheets: int = Field(default=0, ge=0, le=MAX_BODIES)
    thickness_angstrom: Drawn = 38.0
    leaflet_width_angstrom: float = Field(default=6.5, gt=0, le=100)
    protein_share: Drawn = 0.1

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name in ("vesicle_diameter_nm", "irregular_diameter_nm"):
            check_lengths(name, getattr(self, name))
        if lowest(self.thickness_angstrom) <= 0 or highest(self.thickness_angstrom) > 100:
            raise ValueError("thickness_angstrom must lie between 0 and 100")
        if not (lowest(self.protein_share) >= 0 and highest(self.protein_share) <= 0.5):
            raise ValueError("protein_share must lie between 0 and 0.5")
        return self


class FilamentSpec(SpecPart):
    """Filaments.

    Attributes
    ----------
    actin, microtubules, dna
        How many of each.
    protofilaments
        Least and greatest number of protofilaments of a microtubule, 12 to 15.
    dna_length_nm
        Contour length of each DNA filament is drawn from the range.
    nucleosomes
        How many nucleosomes, spread over the DNA filaments.
    nucleosome_source
        Source of the nucleosome, as in :class:`SpeciesSpec`; its name is ``nucleosome``.
    """

    actin: int = Field(default=0, ge=0, le=MAX_BODIES)
    microtubules: int = Field(default=0, ge=0, le=MAX_BODIES)
    protofilaments: tuple[int, int] = (13, 13)
    dna: int = Field(default=0, ge=0, le=MAX_BODIES)
    dna_length_nm: tuple[float, float] = (50.0, 300.0)
    nucleosomes: int = Field(default=0, ge=0, le=MAX_NUCLEOSOMES)
    nucleosome_source: str = "builtin:nucleosome"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not 12 <= self.protofilaments[0] <= self.protofilaments[1] <= 15:
            raise ValueError("protofilaments must lie between 12 and 15")
        check_lengths("dna_length_nm", self.dna_length_nm)
        if self.nucleosomes and not self.dna:
            raise ValueError("nucleosomes need DNA filaments to sit on: set dna to 1 or more")
        return self


class SpecimenSpec(SpecPart):
    """All that is in the volume.

    Attributes
    ----------
    slab, membranes, filaments
        See there.
    species
        Kinds of particles.
    occupancy
        Share of the space inside the slab, outside membranes and filaments, that particle masks fill; species with
        a ``count`` are placed first. 0 places counted species only.
    gold_beads, gold_diameter_nm
        Fiducials on the slab's faces.
    carbon_film_nm
        Thickness of a carbon film on the slab's lower face (0: none).
    carbon_edge
        The film covers only one side of the field, as at the edge of a hole.
    background_std
        Rms fluctuation (protein = 1) of ice and small solutes; not part of the clean volume.
    """

    slab: SlabSpec = SlabSpec()
    membranes: MembraneSpec = MembraneSpec()
    filaments: FilamentSpec = FilamentSpec()
    species: tuple[SpeciesSpec, ...] = ()
    occupancy: Drawn = 0.3
    gold_beads: int = Field(default=0, ge=0, le=MAX_BODIES)
    gold_diameter_nm: float = Field(default=10.0, gt=0, le=1000)
    carbon_film_nm: float = Field(default=0.0, ge=0, le=1000)
    carbon_edge: bool = True
    background_std: Drawn = 0.1

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if lowest(self.occupancy) < 0 or highest(self.occupancy) > MAX_OCCUPANCY:
            raise ValueError(f"occupancy must lie between 0 and {MAX_OCCUPANCY}: bodies cannot be packed denser")
        check_within(self, 0, 100, "background_std")
        names = [one.name for one in self.species]
        repeated = {name for name in names if names.count(name) > 1}
        if repeated:
            raise ValueError(f"species named twice: {', '.join(sorted(repeated))}")
        return self
