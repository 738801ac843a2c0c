"""Projection and back-projection at many tilts, computed in Fourier space.

A tilt image's spectrum is the volume's on a central plane (projection-slice theorem), and weighted back-projection
puts it back there. Along x and y this is one product of spectra. Along z the box is finite, so the plane has the
thickness ``1 / depth``: for each frequency along x and y the z line is turned into the tilts' amplitudes by a small
matrix of phases, and back by its adjoint. This is the convolution with the point spread function of weighted
back-projection in that box, without wrap-around along z, and cheaper than Fourier transforms of a padded volume.
Along x the volume goes on as its mirror image, as in :func:`cryosiam.tomography.projection.project`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor

from cryosiam.geometry import volume_centre_index

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_CHUNK_BYTES: Final = 48 << 20


class TiltPlanes:
    """Central planes of a volume, one per tilt about y.

    Spectra are complex64 tensors ``(kx, tilt, ky)``: a tilt image's spectrum where its frequency along u is
    ``kx / cos(tilt)``, so that the planes of all tilts share the volume's grid of ``kx`` and ``ky``.

    Parameters
    ----------
    shape_zyx
        Volume in voxels.
    tilt_angles_deg
        ``(n,)`` tilts, less than 90 degrees.
    device
        Torch device.
    """

    def __init__(self, shape_zyx: tuple[int, int, int], tilt_angles_deg: ArrayLike, device: str = "cpu") -> None:
        self.shape = shape_zyx
        self.device = torch.device(device)
        tilts = np.deg2rad(np.asarray(tilt_angles_deg, np.float64).ravel())
        self.cosines, self.sines = np.cos(tilts), np.sin(tilts)
        self.length = 2 * shape_zyx[2]
        self.kx = np.fft.rfftfreq(self.length)
        self.ky = np.fft.fftfreq(shape_zyx[1])
        self._slopes = self.kx[:, None] * (self.sines / self.cosines)
        plane_bytes = 8 * len(self.kx) * shape_zyx[1]
        self._chunk = int(np.clip(_CHUNK_BYTES // plane_bytes, 1, shape_zyx[0]))

    @property
    def spectra_shape(self) -> tuple[int, int, int]:
        """Number of frequencies along x, of tilts, and of frequencies along y."""
        return len(self.kx), len(self.cosines), len(self.ky)

    def project(self, volume: NDArray[np.float32]) -> Tensor:
        """Return the spectra of the line integrals of ``volume`` (z, y, x), in density times voxel."""
        spectra = torch.zeros(self.spectra_shape, dtype=torch.complex64, device=self.device)
        for z in self._chunks(range(self.shape[0])):
            slab = torch.from_numpy(np.ascontiguousarray(volume[z.start : z.stop], np.float32)).to(self.device)
            lines = torch.fft.rfft(torch.cat([slab, slab.flip(2)], dim=2), dim=2)
            planes = torch.fft.fft(lines.permute(2, 0, 1).contiguous(), dim=2)
            spectra.baddbmm_(self._phases(z), planes)
        return spectra

    def back_project(self, spectra: Tensor, planes: range | None = None) -> NDArray[np.float32]:
        """Smear images back along their beams and add them up.

        Parameters
        ----------
        spectra
            From :meth:`project`, filtered. They hold the back-projection's own factors: see
            :func:`cryosiam.simulation.fast.transfer.back_projection_gain`.
        planes
            z planes to compute; all by default.

        Returns
        -------
        NDArray
            ``(z, y, x)`` float32.
        """
        wanted = range(self.shape[0]) if planes is None else planes
        volume = np.empty((len(wanted), *self.shape[1:]), np.float32)
        for z in self._chunks(wanted):
            lines = torch.bmm(self._phases(z, towards_volume=True), spectra)
            lines = torch.fft.ifft(lines, dim=2).permute(1, 2, 0)
            slab = torch.fft.irfft(lines, n=self.length, dim=2)[:, :, : self.shape[2]]
            volume[z.start - wanted.start : z.stop - wanted.start] = slab.cpu().numpy()
        return volume

    def _chunks(self, planes: range) -> list[range]:
        starts = range(planes.start, planes.stop, self._chunk)
        return [range(start, min(start + self._chunk, planes.stop)) for start in starts]

    def _phases(self, planes: range, *, towards_volume: bool = False) -> Tensor:
        """Return ``exp(-2 pi i kx tan(tilt) z)`` as ``(kx, tilt, z)``, or its adjoint as ``(kx, z, tilt)``."""
        heights = np.arange(planes.start, planes.stop) - volume_centre_index(self.shape[0])
        if towards_volume:
            turns, sign = self._slopes[:, None, :] * heights[:, None], 2 * np.pi
        else:
            turns, sign = self._slopes[:, :, None] * heights, -2 * np.pi
        whole = torch.from_numpy(turns)
        # In float64 up to here: many turns would leave float32 no digits for the rest.
        angle = whole.sub_(whole.round()).to(self.device, torch.float32).mul_(sign)
        return torch.complex(torch.cos(angle), torch.sin(angle))
