"""CryoSiam: particle identification in cryo-electron tomography.

Importing this package is cheap on purpose; heavy libraries load where they are used.
"""

from typing import Final

__version__: Final = "0.1.0"
