"""Errors a user can cause. Each message says what is wrong, where, and what to do, in one sentence."""


class CryoSiamError(Exception):
    """Something the user did or gave that cannot be worked with; shown as one line, never as a traceback."""


class InputError(CryoSiamError):
    """An input file, project or option is wrong."""


class WeightsError(CryoSiamError):
    """A weights file is damaged, or does not fit its card or the task."""


class TrainingError(CryoSiamError):
    """Training cannot go on."""


class ProductExistsError(CryoSiamError):
    """A product of that name is there already and ``--overwrite`` was not given."""


class ProjectLockedError(CryoSiamError):
    """Another process is at work on the same run."""


class StorageError(CryoSiamError):
    """A product could not be written: read-only folder, full disk."""
