"""``logfile.pdf`` of a job: how many particles there are, how they score, and the pictures of the tomograms."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.files import whole_file
from cryosiam.pipeline.storage import storage_errors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

PICTURES: Final = 50
"""More tomograms have their picture in the job's folder only, so that the file opens at once."""

_PAGE_INCHES: Final = (8.27, 11.69)
_LINES: Final = 45


def write_logfile(
    path: Path,
    tomograms: Sequence[str],
    class_names: Sequence[str],
    scores: NDArray[np.float64],
    pictures: Sequence[Path],
) -> None:
    """Write the file, whole or not at all.

    Parameters
    ----------
    path
        The file.
    tomograms, class_names
        Name of the tomogram and class of each particle.
    scores
        ``(n,)`` score of each particle.
    pictures
        PNG of each tomogram; the first `PICTURES` are shown.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    from matplotlib.backends.backend_pdf import PdfPages

    counts = Counter(zip(tomograms, class_names, strict=True))
    head = [
        f"{len(tomograms)} particles in {len(set(tomograms))} tomograms",
        *(f"{number:8d}  {name}" for name, number in sorted(Counter(class_names).items())),
    ]
    lines = [f"{number:8d}  {name} in {tomogram}" for (tomogram, name), number in sorted(counts.items())]
    with storage_errors(), whole_file(path) as temporary, PdfPages(temporary) as pages:
        pages.savefig(_overview(head, class_names, scores))
        for start in range(0, len(lines), _LINES):
            pages.savefig(_text_page(lines[start : start + _LINES]))
        for picture in list(pictures)[:PICTURES]:
            pages.savefig(_picture_page(picture))


def _page() -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=_PAGE_INCHES)


def _overview(head: Sequence[str], class_names: Sequence[str], scores: NDArray[np.float64]) -> Figure:
    page = _page()
    page.text(0.1, 0.93, "CryoSiam", fontsize=18, va="top")
    page.text(0.1, 0.88, "\n".join(head[:_LINES]), fontsize=10, family="monospace", va="top")
    axes = page.add_axes((0.12, 0.1, 0.78, 0.3))
    names = np.array(class_names, dtype=str)
    species = sorted(set(class_names))
    axes.hist([scores[names == name] for name in species], bins=20, range=(0, 1), stacked=True, label=species)
    axes.set_xlabel("score")
    axes.set_ylabel("particles")
    axes.legend(fontsize=8)
    return page


def _text_page(lines: Sequence[str]) -> Figure:
    page = _page()
    page.text(0.1, 0.93, "\n".join(lines), fontsize=10, family="monospace", va="top")
    return page


def _picture_page(picture: Path) -> Figure:
    from matplotlib.image import imread

    page = _page()
    axes = page.add_axes((0.03, 0.03, 0.94, 0.94))
    axes.imshow(imread(picture))
    axes.set_axis_off()
    return page
