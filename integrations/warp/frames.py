"""Names, pixel sizes and volume sizes of tilt series from Warp's XML files.

Warp's name of a tilt series is the file name of its ``.tomostar``, and the XML has the same name but for the ending
(``TiltSeries.Name`` in WarpLib). ``VolumeDimensionsAngstrom`` is the volume that coordinates are measured in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryosiam.errors import InputError
from cryosiam.integrations.handoff.known import KnownTomogram
from cryosiam.integrations.warp.tilt_series_xml import TILT_SERIES_TAG, xml_root
from cryosiam.integrations.warp.tomostar import ENDING

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element


def read_warp_tomograms(path: Path) -> tuple[KnownTomogram, ...]:
    """Return what Warp's or M's XML files know of their tilt series.

    Parameters
    ----------
    path
        XML file of a tilt series, or the folder that holds those of all. Other XML files in a folder are passed over.

    Raises
    ------
    InputError
        If there is no XML file of a tilt series, or one is damaged.
    """
    if not path.is_dir():
        root = xml_root(path)
        if root.tag != TILT_SERIES_TAG:
            raise InputError(f"{path} is a <{root.tag}>, not a <{TILT_SERIES_TAG}>; give the XML of the tilt series")
        return (_known(path, root),)
    roots = {file: xml_root(file) for file in sorted(path.glob("*.xml"))}
    found = tuple(_known(file, root) for file, root in roots.items() if root.tag == TILT_SERIES_TAG)
    if not found:
        raise InputError(
            f"there is no XML file of a tilt series in {path}; give Warp's folder of tilt-series processing"
        )
    return found


def _known(path: Path, root: Element) -> KnownTomogram:
    pixel_size = _pixel_size(path, root)
    return KnownTomogram(path.stem + ENDING, pixel_size, _unbinned_size(path, root, pixel_size))


def _pixel_size(path: Path, root: Element) -> float | None:
    """Return the pixel size, or None where Warp has not estimated the CTF: until then it writes 1."""
    if root.find("OptionsCTF") is None:
        return None
    stated = next((p.get("Value", "") for p in root.iterfind("CTF/Param") if p.get("Name") == "PixelSize"), None)
    return None if stated is None else _above_zero(path, "PixelSize", stated)


def _unbinned_size(path: Path, root: Element, pixel_size: float | None) -> tuple[float, float, float] | None:
    stated = root.get("VolumeDimensionsAngstrom")
    if stated is None or pixel_size is None:
        return None
    words = stated.split(",")
    if len(words) != len("xyz"):
        raise InputError(f"VolumeDimensionsAngstrom of {path} is '{stated}', not three numbers; write the file again")
    # Volumes are whole pixels; the numbers in Å are rounded to seven digits.
    x, y, z = (_whole(_above_zero(path, "VolumeDimensionsAngstrom", word) / pixel_size) for word in words)
    return x, y, z


def _whole(size: float) -> float:
    return float(round(size)) if abs(size - round(size)) < _ROUNDED * size else size


_ROUNDED: Final = 1e-5


def _above_zero(path: Path, what: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InputError(f"{what} of {path} is '{text.strip()}', not a number above zero; correct it")
    return value
