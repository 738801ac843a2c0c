"""Names that several modules share."""

from __future__ import annotations

CRYOSIAM_HOME = "CRYOSIAM_HOME"
"""Variable: folder that `scipion3 installb cryosiam` makes."""

CRYOSIAM_ENV_ACTIVATION = "CRYOSIAM_ENV_ACTIVATION"
"""Variable: command that activates the environment in which CryoSiam is installed."""

CRYOSIAM_PROGRAM = "CRYOSIAM_PROGRAM"
"""Variable: the command itself, by name or path."""

CRYOSIAM_SOURCE = "CRYOSIAM_SOURCE"
"""Variable: what pip installs as CryoSiam: a folder, an address or a name with a version."""

CRYOSIAM_VERSION = "0.1.0"
"""Version of CryoSiam that this plug-in was written for."""

CRYOSIAM_ENV_NAME = f"cryosiam-{CRYOSIAM_VERSION}"
DEFAULT_ACTIVATION = f"conda activate {CRYOSIAM_ENV_NAME}"
DEFAULT_PROGRAM = "cryosiam"
DEFAULT_WEIGHTS = "light"

UNNAMED = "particle"
"""Class of particles that CryoSiam found and did not name."""

CLASSES = ("background", "membrane", "particle", "microtubule", "actin", "filament")
"""What the labels of CryoSiam's segmentation mean; the place is the label."""

CLASS_ATTRIBUTE = "_cryosiamClass"
"""Attribute of every coordinate that holds the name of its class."""

SCORE_ATTRIBUTE = "_cryosiamScore"
"""Attribute of particles of others that holds CryoSiam's score, beside their own."""
