"""Reading the classifier of a weights file, whatever its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryosiam.identification.classifier import Classifier
from cryosiam.identification.neighbours import REFERENCES, NeighbourClassifier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from cryosiam.identification.naming import NamingClassifier


def read_classifier(arrays: Mapping[str, NDArray[np.float32]], class_names: Sequence[str]) -> NamingClassifier:
    """Return the classifier that ``to_arrays`` stored.

    Weights may hold layers and a reference set; the layers name, then, and the references show what they learnt from.

    Raises
    ------
    WeightsError
        If an array is missing or does not fit the names.
    """
    kind = NeighbourClassifier if REFERENCES in arrays and "weight" not in arrays else Classifier
    return kind.from_arrays(arrays, class_names)
