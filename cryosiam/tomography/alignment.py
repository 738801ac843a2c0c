"""From recorded tilt images to aligned ones at the tomogram's voxel size.

Image centre here is pixel ``size // 2`` along x and y, for recorded and for aligned images, as in the geometry
contract. Programs that turn about another point (IMOD about ``(size - 1) / 2``) have the difference put into the
shift by their reader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import fft, ndimage

from cryosiam.geometry import volume_centre_index

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fourier_crop(image: NDArray[np.floating], shape_yx: tuple[int, int]) -> NDArray[np.float32]:
    """Resample an image to fewer pixels over the same field, by leaving out its high frequencies.

    Pixel 0 keeps its place: the centre of pixel ``i`` of the result lies at ``i * size / new_size`` of the image.
    There is no half-pixel shift as averaging has.

    Parameters
    ----------
    image
        ``(y, x)``.
    shape_yx
        Size of the result; not larger than the image along any axis.

    Returns
    -------
    NDArray
        ``(y, x)`` of ``shape_yx``, same mean grey value.
    """
    image = np.asarray(image, np.float32)
    if image.shape == tuple(shape_yx):
        return image
    height, width = shape_yx
    spectrum = fft.rfft2(image)
    half = height // 2
    kept = np.zeros((height, width // 2 + 1), spectrum.dtype)
    kept[: height - half] = spectrum[: height - half, : kept.shape[1]]
    kept[height - half :] = spectrum[spectrum.shape[0] - half :, : kept.shape[1]]
    scale = height * width / image.size
    return np.asarray(fft.irfft2(kept, s=shape_yx) * scale, np.float32)


def aligned_shape(image_shape_yx: tuple[int, int], matrices: NDArray[np.float64], scale: float) -> tuple[int, int]:
    """Return the size of aligned images that hold the recorded field.

    Parameters
    ----------
    image_shape_yx
        Size of the recorded images.
    matrices
        ``(n, 2, 2)`` of the alignment. Where they turn by nearer to 90 than to 0 degrees, width and height swap.
    scale
        Voxel size over pixel size.
    """
    height, width = (max(1, round(size / scale)) for size in image_shape_yx)
    turned = float(np.abs(matrices[:, 0, 1]).mean()) > float(np.abs(matrices[:, 0, 0]).mean())
    return (width, height) if turned else (height, width)


def align_image(
    image: NDArray[np.floating],
    matrix: NDArray[np.float64],
    shift_px: NDArray[np.float64],
    shape_yx: tuple[int, int],
    scale: float = 1.0,
) -> NDArray[np.float32]:
    """Turn, shift and bin one image, by cubic splines after a Fourier crop to about the wanted sampling.

    An aligned pixel ``q`` (x, y) counted from the centre of the result is taken from
    ``inverse(matrix) @ (scale * q - shift_px)`` counted from the centre of the image.

    Parameters
    ----------
    image
        ``(y, x)`` recorded image, of mean 0.
    matrix
        ``(2, 2)`` on column vectors (x, y).
    shift_px
        ``(2,)`` (x, y) in pixels of the recorded image.
    shape_yx
        Size of the result.
    scale
        Pixels of the recorded image per pixel of the result, 1 or more; need not be whole.

    Returns
    -------
    NDArray
        ``(y, x)`` aligned image, 0 where the recorded one does not reach.
    """
    cropped = fourier_crop(image, _cropped_shape(image.shape, scale))
    per_cropped_yx = np.array(image.shape) / np.array(cropped.shape)
    inverse = np.linalg.inv(matrix)
    inverse_yx = inverse[::-1, ::-1]
    centre_in = np.array([volume_centre_index(size) for size in image.shape])
    centre_out = np.array([volume_centre_index(size) for size in shape_yx])
    offset = centre_in - inverse_yx @ (scale * centre_out + np.asarray(shift_px)[::-1])
    return ndimage.affine_transform(
        cropped,
        scale * inverse_yx / per_cropped_yx[:, None],
        offset / per_cropped_yx,
        output_shape=shape_yx,
        output=np.float32,
        order=3,
        mode="constant",
        cval=0.0,
    )


def _cropped_shape(shape_yx: tuple[int, ...], scale: float) -> tuple[int, int]:
    height, width = (min(size, int(np.ceil(size / scale - 1e-6))) for size in shape_yx)
    return height, width
