"""What a tilt series and its weighted back-projection do to signal and noise, as factors in Fourier space.

Linear imaging: a tilt image, as a share of its mean intensity, is ``1 - 2 ctf * phase`` plus counting noise; its
signal is multiplied by what radiation damage, envelope and detector leave, its noise by the detector's noise
transfer. All of it acts on the central plane of each tilt (see :mod:`cryosiam.simulation.fast.planes`).
The defocus gradient across a tilted image depends on position and is left out.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor

from cryosiam.simulation.microscope.ctf import electron_wavelength_angstrom, interaction_constant
from cryosiam.simulation.microscope.damage import dose_weights, signal_left
from cryosiam.simulation.microscope.detector import cycles_per_physical_pixel, mtf, noise_transfer
from cryosiam.simulation.microscope.imaging import PHASE_PLATE_CUT_ON_ANGSTROM, plate_shifts_deg
from cryosiam.simulation.microscope.reconstruction import BACK_PROJECTION_OVERSAMPLING, noise_to_signal
from cryosiam.simulation.microscope.tilts import exposures
from cryosiam.simulation.spec import fixed
from cryosiam.simulation.structures import PROTEIN_CONTRAST_VOLT
from cryosiam.tomography.back_projection import ROLL_OFF_SIGMA, ROLL_OFF_START

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cryosiam.simulation.fast.planes import TiltPlanes
    from cryosiam.simulation.microscope.series import SimulatedTiltSeries
    from cryosiam.simulation.spec import SimulationSpec

_RADIAL_SAMPLES: Final = 1024
_FLATTEST_BEAM: Final = 0.05


@dataclass(frozen=True)
class TiltState:
    """What differs from tilt to tilt; arrays ``(n,)`` along ascending tilt angle.

    Parameters
    ----------
    tilt_angles_deg, prior_dose, dose_per_tilt
        As of :class:`cryosiam.simulation.microscope.tilts.Exposures`.
    defocus_um, phase_shift_deg
        True mean underfocus and phase shift.
    shifts_angstrom
        ``(n, 2)`` (x, y): residual shift of each image.
    """

    tilt_angles_deg: NDArray[np.float64]
    prior_dose: NDArray[np.float64]
    dose_per_tilt: float
    defocus_um: NDArray[np.float64]
    phase_shift_deg: NDArray[np.float64]
    shifts_angstrom: NDArray[np.float64]

    @classmethod
    def drawn(cls, spec: SimulationSpec, rng: np.random.Generator) -> TiltState:
        """Draw the state of one tilt series.

        Parameters
        ----------
        spec
            Recipe whose ranges have been drawn.
        rng
            Source of defocus deviations and shifts.

        Raises
        ------
        InputError
            If the recipe leaves out all tilts.
        """
        nominal = cls.nominal(spec)
        count = len(nominal.tilt_angles_deg)
        scope = spec.microscope
        defocus_um = nominal.defocus_um + scope.optics.defocus_spread_um * rng.standard_normal(count)
        shifts = fixed(scope.alignment.shift_angstrom) * rng.standard_normal((count, 2))
        return dataclasses.replace(nominal, defocus_um=defocus_um, shifts_angstrom=shifts)

    @classmethod
    def nominal(cls, spec: SimulationSpec) -> TiltState:
        """Return the state without deviations of defocus and without shifts; parameters as in :meth:`drawn`."""
        scope = spec.microscope
        plan = exposures(scope.tilts, fixed(scope.exposure.total_dose))
        count = len(plan.tilt_angles_deg)
        return cls(
            plan.tilt_angles_deg,
            plan.prior_dose,
            plan.dose_per_tilt,
            np.full(count, fixed(scope.optics.defocus_um)),
            plate_shifts_deg(scope.optics, plan.exposure_index),
            np.zeros((count, 2)),
        )

    @classmethod
    def of_series(cls, series: SimulatedTiltSeries) -> TiltState:
        """Return the state that a tilt series was taken in."""
        return cls(
            series.tilt_angles_deg,
            series.prior_dose,
            series.dose_per_tilt,
            series.defocus_um,
            series.phase_shift_deg,
            series.shifts_angstrom,
        )


class SeriesTransfer:
    """Factors on the central planes of a tilt series, computed block by block along ``kx``.

    Parameters
    ----------
    spec
        Recipe whose ranges have been drawn.
    planes
        Central planes of the volume; frequencies and tilts.
    state
        What differs from tilt to tilt.
    """

    def __init__(self, spec: SimulationSpec, planes: TiltPlanes, state: TiltState) -> None:
        self._spec, self._planes, self._state = spec, planes, state
        self._voxel = spec.voxel_size_angstrom
        self._ku = planes.kx[:, None] / planes.cosines
        # Back-projection interpolates so finely that it sees nothing beyond the images' Nyquist frequency.
        self._kx = self._tensor(np.minimum(self._ku, 0.5))
        self._ky = self._tensor(planes.ky)
        self._top = float(np.sqrt(0.5)) / self._voxel
        self._frequencies = np.linspace(0, self._top, _RADIAL_SAMPLES)
        scope = spec.microscope
        self._indexed, self._index = slice(0), torch.empty(0, dtype=torch.int32)
        detector = scope.detector
        cycles = cycles_per_physical_pixel(self._frequencies, detector.pixel_size_angstrom or self._voxel)
        blur = np.exp(-2 * (np.pi * fixed(scope.alignment.blur_voxels) * self._voxel * self._frequencies) ** 2)
        left = np.ones((len(state.prior_dose), _RADIAL_SAMPLES))
        if scope.exposure.radiation_damage:
            left = signal_left(
                self._frequencies, state.prior_dose[:, None], state.dose_per_tilt, scope.optics.voltage_kv
            )
        envelope = np.exp(-0.25 * fixed(scope.optics.envelope_b_factor) * self._frequencies**2)
        passed = left * mtf(detector.kind, cycles) * envelope * blur
        # Equal for all tilts, but looked up by tilt like the others.
        self._envelope_table = self._tensor(envelope * np.ones_like(left))
        self._inverse_snr_table = self._tensor(noise_to_signal(self._frequencies) + 0 * left)
        self._signal_table = self._tensor(-self._contrast() * passed)
        noise = noise_transfer(detector.kind, cycles) * blur if detector.counting_noise else 0 * blur
        self._noise_table = self._tensor(self._counting_noise()[:, None] * noise)
        self._weights_table = self._tensor(
            dose_weights(self._frequencies, state.prior_dose, state.dose_per_tilt, scope.optics.voltage_kv)
            if scope.reconstruction.dose_weighting
            else np.ones_like(left)
        )

    def signal(self, block: slice) -> Tensor:
        """Return what turns projected density (protein times voxel) into image contrast, ``(kx, tilt, ky)`` complex.

        Includes the interpolation of :func:`cryosiam.tomography.projection.project` and alignment errors: each
        image's shift, and the blur that rotation and magnification amount to over the field.
        """
        ku, kv = self._kx[block, :, None], self._ky
        x, y = (self._tensor(self._state.shifts_angstrom[:, axis] / self._voxel)[:, None] for axis in (0, 1))
        turn = torch.exp(-2j * np.pi * (ku * x)) * torch.exp(-2j * np.pi * (kv * y))
        spread_u, spread_v = self._field_blur()
        field = torch.exp(-2 * np.pi**2 * (spread_u * ku**2)) * torch.exp(-2 * np.pi**2 * (spread_v * kv**2))
        transfer = self._ctf(self._state.defocus_um, self._state.phase_shift_deg, block)
        transfer *= self._radial(self._signal_table, block)
        transfer *= field * self._tensor(self._projected(self._ku[block]))[:, :, None]
        return transfer * turn

    def noise(self, block: slice) -> Tensor:
        """Return the amplitude of the images' noise at each frequency, ``(kx, tilt, ky)``.

        To be multiplied by the spectra of white noise of unit variance on the volume's grid of x and y.
        """
        # White noise of the image, seen along x, is compressed by the cosine: less power per frequency.
        level = np.sqrt(self._planes.cosines) * np.ones_like(self._ku[block])
        return self._radial(self._noise_table, block) * self._tensor(level)[:, :, None]

    def weighting(self, block: slice) -> Tensor:
        """Return the factors of weighted back-projection, ``(kx, tilt, ky)``: ramp, interpolation, dose weights."""
        angles = np.deg2rad(self._state.tilt_angles_deg)
        span = np.ptp(angles)
        increment = span / (len(angles) - 1) if span > 0 else np.pi / len(angles)
        passed = self._r_weight(self._ku[block]) * self._interpolated(self._ku[block])
        passed *= increment / self._planes.cosines
        return self._radial(self._weights_table, block) * self._tensor(passed)[:, :, None]

    def phase_flip(self, block: slice) -> Tensor:
        """Return the sign of the CTF at the nominal defocus, ``(kx, tilt, ky)``."""
        return torch.where(self._nominal(block) < 0, -1.0, 1.0)

    def wiener(self, block: slice) -> Tensor:
        """Return the Wiener filter of the CTF at the nominal defocus, ``(kx, tilt, ky)``, as on the exact path."""
        transfer = self._nominal(block) * self._radial(self._envelope_table, block)
        return transfer / (transfer**2 + self._radial(self._inverse_snr_table, block))

    def _nominal(self, block: slice) -> Tensor:
        nominal = fixed(self._spec.microscope.optics.defocus_um)
        return self._ctf(np.full_like(self._state.defocus_um, nominal), self._state.phase_shift_deg, block)

    def _ctf(self, defocus_um: NDArray[np.float64], phase_deg: NDArray[np.float64], block: slice) -> Tensor:
        """Return what :meth:`cryosiam.simulation.microscope.ctf.CTF.at` gives, on the device."""
        optics = self._spec.microscope.optics
        wavelength = electron_wavelength_angstrom(optics.voltage_kv)
        kx, ky = self._kx[block, :, None] / self._voxel, self._ky / self._voxel
        squares = kx**2 + ky**2
        gamma = squares * self._tensor(1e4 * np.pi * wavelength * defocus_um)[:, None]
        gamma -= (0.5 * np.pi * optics.spherical_aberration_mm * 1e7 * wavelength**3) * squares**2
        plate = 1 - torch.exp(-squares * PHASE_PLATE_CUT_ON_ANGSTROM**2)
        gamma += plate * self._tensor(np.deg2rad(phase_deg))[:, None] + float(np.arcsin(optics.amplitude_contrast))
        spread = 0.5e4 * fixed(optics.astigmatism_um)
        if spread:
            # k^2 cos 2(azimuth - direction), without the azimuth.
            direction = 2 * np.deg2rad(fixed(optics.astigmatism_deg))
            along = np.cos(direction) * (kx**2 - ky**2) + 2 * np.sin(direction) * kx * ky
            gamma += np.pi * wavelength * spread * along
        return gamma.sin_()

    def _contrast(self) -> float:
        """Return the image contrast of one voxel of protein where the CTF is 1."""
        optics = self._spec.microscope.optics
        phase = interaction_constant(optics.voltage_kv) * PROTEIN_CONTRAST_VOLT * self._voxel
        return 2 * phase * fixed(optics.contrast_factor)

    def _counting_noise(self) -> NDArray[np.float64]:
        """Return the standard deviation of an ideal count, as a share of its mean, for each tilt."""
        exposure = self._spec.microscope.exposure
        electrons = self._state.dose_per_tilt * self._voxel**2 * np.ones(len(self._planes.cosines))
        if exposure.inelastic_mean_free_path_nm > 0:
            slab = self._spec.specimen.slab
            lean, azimuth = np.deg2rad(fixed(slab.tilt_deg)), np.deg2rad(fixed(slab.azimuth_deg))
            # Of the beam, (-sin t, 0, cos t) in x, y, z, along the slab's normal.
            along = np.cos(lean) * self._planes.cosines - np.sin(lean) * np.cos(azimuth) * self._planes.sines
            path_nm = fixed(slab.thickness_nm) / np.maximum(along, _FLATTEST_BEAM)
            electrons *= np.exp(-path_nm / exposure.inelastic_mean_free_path_nm)
        return np.asarray(1 / np.sqrt(electrons))

    def _field_blur(self) -> tuple[float, float]:
        """Return the mean squared displacement in voxels along u and v by rotation and magnification errors."""
        alignment = self._spec.microscope.alignment
        _, height, width = self._planes.shape
        u2, v2 = width**2 / 12, height**2 / 12
        turn, scale = np.deg2rad(fixed(alignment.rotation_deg)) ** 2, fixed(alignment.magnification) ** 2
        return float(turn * v2 + scale * u2), float(turn * u2 + scale * v2)

    @property
    def _upright(self) -> NDArray[np.bool_]:
        """Tell which tilts are 0: there, pixels and voxels coincide and nothing is interpolated."""
        return np.abs(self._planes.sines) < 1e-6

    def _projected(self, ku: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the projector's linear interpolation passes: along x, or along z for steep rays."""
        planes = self._planes
        flat = np.abs(planes.cosines) >= np.abs(planes.sines)
        along = np.where(flat, planes.cosines, planes.sines) * ~self._upright
        return np.asarray(np.sinc(ku * along) ** 2 * (ku <= 0.5))

    def _interpolated(self, ku: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the back-projector's linear interpolation passes."""
        return np.asarray(np.sinc(ku / BACK_PROJECTION_OVERSAMPLING * ~self._upright) ** 2 * (ku <= 0.5))

    def _r_weight(self, ku: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ramp and roll-off of :func:`cryosiam.tomography.back_projection.r_weight`, up to Nyquist."""
        beyond = np.maximum(ku - ROLL_OFF_START, 0) / ROLL_OFF_SIGMA
        ramp = ku * np.exp(-0.5 * beyond**2)
        # The ramp is sampled in real space, over twice the image: what is left of it at frequency 0.
        ramp[ku == 0] = 1 / (np.pi**2 * self._planes.shape[2])
        return np.asarray(ramp)

    def _radial(self, table: Tensor, block: slice) -> Tensor:
        """Look up values of a ``(tilt, frequency)`` table for each point of the planes."""
        if self._indexed != block:
            k = torch.sqrt(self._kx[block, :, None] ** 2 + self._ky**2)
            index = k.mul_((_RADIAL_SAMPLES - 1) / (self._top * self._voxel)).add_(0.5).to(torch.int32)
            index += (_RADIAL_SAMPLES * torch.arange(k.shape[1], dtype=torch.int32, device=k.device))[:, None]
            self._indexed, self._index = block, index
        return table.reshape(-1).index_select(0, self._index.reshape(-1)).reshape(self._index.shape)

    def _tensor(self, array: NDArray[np.floating]) -> Tensor:
        return torch.from_numpy(np.asarray(array, np.float32)).to(self._planes.device)
