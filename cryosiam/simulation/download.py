"""Fetch structures from the Protein Data Bank by their id."""

from __future__ import annotations

import gzip
import http.client
import os
import re
import urllib.error
import urllib.request
import zlib
from typing import TYPE_CHECKING, Final

from cryosiam.errors import InputError
from cryosiam.files import whole_file

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_URL: Final = "https://files.rcsb.org/download"
URL_VARIABLE: Final = "CRYOSIAM_PDB_URL"
TIMEOUT_SECONDS: Final = 30.0

_PDB_ID: Final = re.compile(r"[0-9][A-Za-z0-9]{3}")


def is_pdb_id(text: str) -> bool:
    """Tell whether a text has the form of a PDB id: a digit and three letters or digits."""
    return _PDB_ID.fullmatch(text) is not None


def download_structure(
    pdb_id: str, folder: Path, *, base_url: str | None = None, timeout_s: float = TIMEOUT_SECONDS
) -> tuple[Path, str]:
    """Download an entry as gzipped mmCIF.

    Parameters
    ----------
    pdb_id
        Four letters and digits.
    folder
        Where the file goes, as ``ID.cif.gz``.
    base_url
        Server and folder; None takes ``$CRYOSIAM_PDB_URL``, or the RCSB's.
    timeout_s
        Seconds without an answer after which to give up.

    Returns
    -------
    tuple[Path, str]
        The file, and the address it came from.

    Raises
    ------
    InputError
        If there is no such entry, the server cannot be reached, or the file does not arrive whole.
    """
    if not is_pdb_id(pdb_id):
        raise InputError(f"'{pdb_id}' is no PDB id; give a digit followed by three letters or digits, such as 1bxn.")
    base = base_url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
    if not base.startswith(("http://", "https://")):
        raise InputError(f"'{base}' is no address of a server; give one that begins with https://.")
    name = f"{pdb_id.lower()}.cif.gz"
    address = f"{base.rstrip('/')}/{pdb_id.upper()}.cif.gz"
    content = _fetched(pdb_id, address, timeout_s)
    try:
        gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        raise InputError(f"{address} did not arrive whole, or is no gzipped file; try again.") from None
    with whole_file(folder / name) as temporary:
        temporary.write_bytes(content)
    return folder / name, address


def _fetched(pdb_id: str, address: str, timeout_s: float) -> bytes:
    try:
        with urllib.request.urlopen(address, timeout=timeout_s) as answer:
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as problem:
        with problem:
            if problem.code in (404, 410):
                raise InputError(f"the Protein Data Bank has no entry {pdb_id} at {address}; check the id.") from None
            raise InputError(f"{address} answered with error {problem.code}; try again later.") from None
    except (http.client.IncompleteRead, http.client.HTTPException):
        raise InputError(f"{address} did not arrive whole; try again.") from None
    except (urllib.error.URLError, TimeoutError, OSError) as problem:
        reason = getattr(problem, "reason", problem)
        raise InputError(
            f"{address} cannot be reached ({reason}); check the network, or download the file and add it by its path."
        ) from None
