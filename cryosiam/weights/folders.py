"""Where weights lie: folders with cards, by path or by name."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from cryosiam.errors import WeightsError
from cryosiam.weights.card import Task, WeightsCard

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER_VARIABLE: Final = "CRYOSIAM_WEIGHTS"
"""Environment variable with the folder that holds the user's own weights, a folder each."""


def user_weights() -> Path:
    """Return the folder of the user's own weights: ``$CRYOSIAM_WEIGHTS``, or ``cryosiam/weights`` where data are kept.

    That is ``$XDG_DATA_HOME``, or ``~/.local/share``.
    """
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "cryosiam" / "weights"


def shipped_weights() -> Path:
    """Return the folder of the weights that come with the package."""
    return Path(str(files("cryosiam.weights")))


def weights_folder(spec: str | Path) -> Path:
    """Return the folder of ``spec``: a folder, or a name of the user's weights or of those that ship.

    Raises
    ------
    WeightsError
        If there is no such folder.
    """
    for folder in (Path(spec), user_weights() / spec, shipped_weights() / spec):
        if folder.is_dir() and any(folder.glob("*.json")):
            return folder
    known = ", ".join(f"'{folder.name}'" for folder in named_folders()) or "none"
    raise WeightsError(
        f"no weights at '{spec}': give a folder with weights and their cards, or one of the names there are: {known}"
    )


def named_folders() -> list[Path]:
    """Return the folders of the weights that go by a name; the user's hide shipped ones of the same name."""
    found: dict[str, Path] = {}
    for parent in (user_weights(), shipped_weights()):
        for folder in _subfolders(parent):
            if card_files(folder):
                found.setdefault(folder.name, folder)
    return [found[name] for name in sorted(found)]


def _subfolders(parent: Path) -> Iterator[Path]:
    if parent.is_dir():
        yield from sorted(folder for folder in parent.iterdir() if folder.is_dir())


def card_files(folder: Path) -> list[Path]:
    """Return the card files in ``folder``, by their names: a task's, or one of its parts'."""
    tasks = [task.value for task in Task]
    return [
        path
        for path in sorted(folder.glob("*.json"))
        if any(path.stem == task or path.stem.startswith(f"{task}-") for task in tasks)
    ]


def read_cards(spec: str | Path, task: Task | None = None) -> tuple[WeightsCard, ...]:
    """Return every card in the folder ``spec``, of ``task`` alone where given, in the order of their file names.

    Raises
    ------
    WeightsError
        If there is no such folder, or a card cannot be used.
    """
    cards = (card_of(path) for path in card_files(weights_folder(spec)))
    return tuple(card for card in cards if task is None or card.task is task)


def read_card(spec: str | Path, task: Task, part: str | None = None) -> WeightsCard:
    """Read and check the card of ``task``: that of ``part``, or the only one there is.

    Raises
    ------
    WeightsError
        If it is missing, unreadable, or asks for what this version does not have; or if there are several.
    """
    folder = weights_folder(spec)
    if part is None:
        stems = [path.stem for path in card_files(folder) if path.stem == task or path.stem.startswith(f"{task}-")]
        if len(stems) > 1:
            raise WeightsError(f"{folder} holds several {task} weights: {', '.join(stems)}; say which, or keep one")
        stem = stems[0] if stems else str(task)
    else:
        stem = f"{task}-{part}" if part else str(task)
    return card_of(folder / f"{stem}.json")


def card_of(path: Path) -> WeightsCard:
    """Read one card file; raises `WeightsError` if it is missing or not a card that this version can use."""
    try:
        card = WeightsCard.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise WeightsError(f"{path.parent} holds no {path.stem} weights: {path.name} is missing") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "card"
        raise WeightsError(f"{path} is not a card this version can use: {where}: {first['msg']}") from None
    if card.stem != path.stem:
        raise WeightsError(f"{path} is the card of {card.stem} weights; give it the name {card.stem}.json again")
    return card
