"""Particles for a RELION 4 project."""

from __future__ import annotations

from typing import ClassVar

from cryosiam.integrations.relion.relion5 import Relion5Sink
from cryosiam.ports import Capabilities


class Relion4Sink(Relion5Sink):
    """Write for RELION 4 what `Relion5Sink` writes for RELION 5.

    RELION 4 counts unbinned pixels from the corner, ``i*b``; columns are in ``schemas/star/relion4.yaml``. Parameters
    are those of `Relion5Sink`.
    """

    dialect_name: ClassVar = "relion4"
    capabilities = Capabilities(
        name="relion4",
        summary="relion4/particles.star: RELION 4 coordinates in unbinned pixels, with score and class",
        accepts=Relion5Sink.capabilities.accepts,
    )
