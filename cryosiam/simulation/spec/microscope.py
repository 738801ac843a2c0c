"""The microscope's part of a simulation recipe: tilts, optics, dose, detector, alignment and reconstruction."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from cryosiam.simulation.spec.base import Drawn, SpecPart, check_within, highest, lowest

MAX_TILTS = 1000
"""Most tilts of a series."""

MIN_MEAN_FREE_PATH_NM = 10.0
"""A shorter one would leave no electron to count."""


class TiltSpec(SpecPart):
    """Tilt scheme.

    Attributes
    ----------
    scheme
        Order of exposure: ``dose-symmetric`` from ``start_deg`` outwards, ``bidirectional`` (from ``start_deg`` up,
        then down), or ``continuous`` from ``min_deg`` to ``max_deg``.
    min_deg, max_deg, step_deg, start_deg
        Range and step.
    group
        Tilts on one side before a dose-symmetric scheme changes sides.
    missing_deg
        Nominal tilts that were not recorded, or were discarded; they count as exposed.
    """

    scheme: Literal["dose-symmetric", "bidirectional", "continuous"] = "dose-symmetric"
    min_deg: float = Field(default=-60.0, ge=-85, le=85)
    max_deg: float = Field(default=60.0, ge=-85, le=85)
    step_deg: float = Field(default=3.0, gt=0)
    start_deg: float = 0.0
    group: int = Field(default=1, ge=1, le=MAX_TILTS)
    missing_deg: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.max_deg < self.min_deg:
            raise ValueError("max_deg must not be below min_deg")
        if not self.min_deg <= self.start_deg <= self.max_deg:
            raise ValueError("start_deg must lie between min_deg and max_deg")
        if (self.max_deg - self.min_deg) / self.step_deg > MAX_TILTS - 1:
            raise ValueError(f"step_deg of {self.step_deg:g} makes more than {MAX_TILTS} tilts")
        return self


class OpticsSpec(SpecPart):
    """Optics.

    Attributes
    ----------
    voltage_kv, spherical_aberration_mm, amplitude_contrast
        As named; amplitude contrast is a fraction.
    defocus_um
        Mean underfocus at the tilt axis, positive.
    defocus_spread_um
        Standard deviation over the tilts.
    defocus_gradient
        Defocus changes across a tilted image with the height of the specimen.
    astigmatism_um, astigmatism_deg
        Difference of the largest and the smallest defocus, and direction of the largest (from x to y).
    phase_shift_deg, phase_shift_per_tilt_deg
        Phase plate: shift of the first exposure, and its growth with each exposure. 0 is no phase plate.
    envelope_b_factor
        Information falls by ``exp(-B k^2 / 4)``, in Å².
    contrast_factor
        Share of the computed contrast that images show (1: as computed).
    """

    voltage_kv: float = Field(default=300.0, ge=60, le=1000)
    spherical_aberration_mm: float = Field(default=2.7, ge=0, le=10)
    amplitude_contrast: float = Field(default=0.07, ge=0, lt=1)
    defocus_um: Drawn = 3.5
    defocus_spread_um: float = Field(default=0.1, ge=0, le=10)
    defocus_gradient: bool = True
    astigmatism_um: Drawn = 0.0
    astigmatism_deg: Drawn = 0.0
    phase_shift_deg: Drawn = 0.0
    phase_shift_per_tilt_deg: float = Field(default=0.0, ge=-360, le=360)
    envelope_b_factor: Drawn = 0.0
    contrast_factor: Drawn = 1.0

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if lowest(self.defocus_um) < -20 or highest(self.defocus_um) > 20:
            raise ValueError("defocus_um must lie between -20 and 20: it is in µm")
        check_within(self, 0, 20, "astigmatism_um")
        check_within(self, 0, 1e5, "envelope_b_factor")
        check_within(self, -360, 360, "astigmatism_deg", "phase_shift_deg")
        if lowest(self.contrast_factor) <= 0:
            raise ValueError("contrast_factor must be positive")
        check_within(self, 0, 100, "contrast_factor")
        return self


class ExposureSpec(SpecPart):
    """Dose and what it does.

    Attributes
    ----------
    total_dose
        Electrons per Å² over all exposures, missing tilts included.
    radiation_damage
        Signal fades with the dose by the critical exposure of Grant and Grigorieff (eLife 2015).
    inelastic_mean_free_path_nm
        Electrons that scatter inelastically in the thickness met are lost to the energy filter; 0 loses none.
    """

    total_dose: Drawn = 120.0
    radiation_damage: bool = True
    inelastic_mean_free_path_nm: float = Field(default=310.0, ge=0, le=1e6)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if lowest(self.total_dose) <= 0:
            raise ValueError("total_dose must be positive, in electrons per Å²")
        check_within(self, 0, 1e4, "total_dose")
        if 0 < self.inelastic_mean_free_path_nm < MIN_MEAN_FREE_PATH_NM:
            raise ValueError(
                f"inelastic_mean_free_path_nm must be 0 (nothing is lost) or {MIN_MEAN_FREE_PATH_NM:g} and more"
            )
        return self


class DetectorSpec(SpecPart):
    """Detector.

    Attributes
    ----------
    kind
        Curves of modulation and quantum efficiency: ``k2`` or ``k3`` (counting), ``falcon4``, or ``ideal``.
    pixel_size_angstrom
        Physical pixel referred to the specimen; images are binned from it by Fourier cropping. None takes the
        voxel size (unbinned).
    counting_noise
        Poisson noise of the electrons counted.
    """

    kind: Literal["k2", "k3", "falcon4", "ideal"] = "k2"
    pixel_size_angstrom: float | None = Field(default=None, ge=0.1, le=100)
    counting_noise: bool = True


class AlignmentSpec(SpecPart):
    """Errors that alignment leaves in each tilt image: standard deviations.

    Attributes
    ----------
    shift_angstrom, rotation_deg, magnification
        Shift along x and along y, in-plane rotation, and relative magnification.
    blur_voxels
        Gaussian that blurs signal and noise, as interpolation does.
    """

    shift_angstrom: Drawn = 1.0
    rotation_deg: Drawn = 0.1
    magnification: Drawn = 0.0
    blur_voxels: Drawn = 0.0

    @model_validator(mode="after")
    def _possible(self) -> Self:
        check_within(self, 0, 1000, "shift_angstrom")
        check_within(self, 0, 45, "rotation_deg")
        check_within(self, 0, 0.5, "magnification")
        check_within(self, 0, 20, "blur_voxels")
        return self


class ReconstructionSpec(SpecPart):
    """Reconstruction by weighted back-projection.

    Attributes
    ----------
    ctf_correction
        Of the main noisy volume: ``none``, or ``phase-flip`` per tilt with the nominal defocus.
    corrected_volume
        Also reconstruct a CTF-corrected volume (``wbp-ctfcorr``: Wiener filter per tilt).
    dose_weighting
        Weight each tilt by its critical-exposure curve.
    halves
        Reconstruct two volumes more, from two independent sets of frames (even and odd).
    """

    ctf_correction: Literal["none", "phase-flip"] = "none"
    corrected_volume: bool = True
    dose_weighting: bool = False
    halves: bool = True


class MicroscopeSpec(SpecPart):
    """All that turns a specimen into a tomogram."""

    tilts: TiltSpec = TiltSpec()
    optics: OpticsSpec = OpticsSpec()
    exposure: ExposureSpec = ExposureSpec()
    detector: DetectorSpec = DetectorSpec()
    alignment: AlignmentSpec = AlignmentSpec()
    reconstruction: ReconstructionSpec = ReconstructionSpec()
