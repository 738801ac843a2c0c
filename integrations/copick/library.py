"""Import copick without letting it take over the program's logging."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def logging_kept() -> Iterator[None]:
    """Keep the root logger's handlers and level.

    Every module of copick 1.x calls ``logging.basicConfig(force=True)`` when it is imported, which closes the handlers
    that are there; they are taken off first so that they survive.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
