"""Fingerprints: short texts that change when what went into a result changes."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def fingerprint(facts: Mapping[str, object]) -> str:
    """Return 32 hexadecimal digits that depend on every fact, whatever the order of the keys.

    Parameters
    ----------
    facts
        Anything JSON can hold.
    """
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]
