"""Which annotations of a project mean what: the text of ``--labels``, and what is taken where nothing is named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cryosiam.domain import SEMANTIC_CLASSES
from cryosiam.errors import InputError
from cryosiam.evaluation.project import Annotator
from cryosiam.integrations.copick.objects import NOT_PARTICLES
from cryosiam.integrations.copick.simulated_objects import SAMPLE_OBJECT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryosiam.integrations.copick.config import PickableObject

COMPLETE: Final = "complete"
"""Mask of where every object is labelled."""

MEANINGS: Final = (*SEMANTIC_CLASSES, SAMPLE_OBJECT, COMPLETE)
"""What annotations may mean."""

_SYNTAX: Final = "write it as USER/SESSION, or as CLASS=OBJECT:USER/SESSION with commas between"


@dataclass(frozen=True)
class LabelChoice:
    """Annotations that mean a class, the sample, or where labels are complete.

    Parameters
    ----------
    meaning
        Of :data:`MEANINGS`.
    names
        Names of objects or segmentations.
    by
        Who annotated; None for anybody.
    """

    meaning: str
    names: tuple[str, ...]
    by: Annotator | None = None

    def is_by(self, item: Any) -> bool:
        """Tell whether a pick set or segmentation of copick is by the annotator."""
        return self.by is None or (str(item.user_id), str(item.session_id)) == (self.by.user_id, self.by.session_id)


def parse_labels(text: str, objects: Sequence[PickableObject]) -> tuple[LabelChoice, ...]:
    """Read ``--labels``.

    Parameters
    ----------
    text
        ``USER/SESSION`` for all annotations by one annotator, by the names of their objects; or entries
        ``CLASS=OBJECT:USER/SESSION`` with commas between, such as
        ``membrane=membrane:me/1, particle=ribosome:me/1, sample=lamella:me/1``. ``:USER/SESSION`` may be missing.
    objects
        The project's objects.

    Raises
    ------
    InputError
        If it is something else, or names an unknown class.
    """
    if "=" not in text:
        by = _annotator(text.strip())
        return by_name(objects, by)
    return tuple(_entry(part.strip()) for part in text.split(",") if part.strip())


def by_name(objects: Sequence[PickableObject], by: Annotator) -> tuple[LabelChoice, ...]:
    """Return what the annotations of one annotator mean by the names of their objects.

    Objects named as a class, ``sample`` or ``complete`` mean that; all other particles are of class ``particle``.
    """
    names: dict[str, list[str]] = {meaning: [meaning] for meaning in MEANINGS}
    for item in objects:
        if item.is_particle and item.name not in (*NOT_PARTICLES, *MEANINGS):
            names["particle"].append(item.name)
    return tuple(LabelChoice(meaning, tuple(found), by) for meaning, found in names.items())


def _entry(text: str) -> LabelChoice:
    meaning, equals, rest = text.partition("=")
    name, colon, by = rest.partition(":")
    if not equals or not name.strip() or (colon and not by.strip()):
        raise InputError(f"--labels has '{text}', which names no annotation; {_SYNTAX}")
    if meaning.strip() not in MEANINGS:
        raise InputError(f"--labels has '{meaning.strip()}', which is no class; there are {', '.join(MEANINGS)}")
    return LabelChoice(meaning.strip(), (name.strip(),), _annotator(by.strip()) if colon else None)


def _annotator(text: str) -> Annotator:
    user, slash, session = text.partition("/")
    if not slash or not user or not session or "/" in session:
        raise InputError(f"--labels has '{text}', which is no annotator; {_SYNTAX}")
    return Annotator(user, session)
