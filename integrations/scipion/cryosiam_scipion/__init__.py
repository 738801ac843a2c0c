"""CryoSiam in Scipion. It runs the command ``cryosiam`` of another environment and imports nothing of it."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import Any

import pwem
from pyworkflow import VarTypes
from pyworkflow.utils import Environ

from cryosiam_scipion import constants as const
from cryosiam_scipion.source import source_of_cryosiam

__version__ = "0.1.0"
_logo = "cryosiam_logo.png"
_references = ["Stojanovska2025", "Stojanovska2024"]

SHELL = "/bin/bash"
"""What runs our commands; activating an environment needs no lesser shell."""


class Plugin(pwem.Plugin):
    """Says where CryoSiam is, and installs it."""

    _homeVar = const.CRYOSIAM_HOME
    _supportedVersions = (const.CRYOSIAM_VERSION,)
    _url = "https://doi.org/10.1101/2025.11.11.687379"

    @classmethod
    def _defineVariables(cls) -> None:
        cls._defineEmVar(
            const.CRYOSIAM_HOME,
            const.CRYOSIAM_ENV_NAME,
            description="Folder that the installation of CryoSiam makes.",
            var_type=VarTypes.FOLDER,
        )
        cls._defineVar(
            const.CRYOSIAM_ENV_ACTIVATION,
            const.DEFAULT_ACTIVATION,
            description="Command that activates the environment of CryoSiam; empty where none is needed.",
        )
        cls._defineVar(
            const.CRYOSIAM_PROGRAM,
            const.DEFAULT_PROGRAM,
            description="CryoSiam's command, by name or path; with a path, no environment is activated.",
            var_type=VarTypes.PATH,
        )
        cls._defineVar(
            const.CRYOSIAM_SOURCE,
            source_of_cryosiam(),
            description="What pip installs as CryoSiam: a folder, an address, or a name with a version.",
        )

    @classmethod
    def getEnviron(cls) -> Environ:
        """Return the environment of our command: Scipion's own, without what leads Python back into Scipion's."""
        environ = Environ(os.environ)
        for name in ("PYTHONPATH", "PYTHONHOME"):
            environ.pop(name, None)
        return environ

    @classmethod
    def getActivation(cls) -> str:
        """Return what comes before the command in the shell; empty where the command is given by its path."""
        activation = str(cls.getVar(const.CRYOSIAM_ENV_ACTIVATION) or "").strip().rstrip("&; ")
        if not activation or os.sep in str(cls.getVar(const.CRYOSIAM_PROGRAM)):
            return ""
        conda = cls.getCondaActivationCmd() if activation.startswith("conda ") else ""
        return f"{conda} {activation} && ".lstrip()

    @classmethod
    def getProgram(cls, variables: str = "") -> str:
        """Return the command for the shell, with assignments of variables such as ``OMP_NUM_THREADS=4`` before it."""
        program = shlex.quote(str(cls.getVar(const.CRYOSIAM_PROGRAM)))
        return f"{cls.getActivation()}{variables} {program}".strip()

    @classmethod
    def whyMissing(cls) -> str:
        """Return one sentence on why CryoSiam cannot be run, or nothing."""
        program = str(cls.getVar(const.CRYOSIAM_PROGRAM))
        look = f"{cls.getActivation()}command -v {shlex.quote(program)}"
        found = subprocess.run([SHELL, "-c", look], env=dict(cls.getEnviron()), capture_output=True, text=True)
        if found.returncode == 0:
            return ""
        return (
            f"The command '{program}' was not found: install it by `scipion3 installb cryosiam`, or set "
            f"{const.CRYOSIAM_PROGRAM} to its path in Scipion's configuration."
        )

    @classmethod
    def getDependencies(cls) -> list[str]:
        """Return the programs that the installation needs."""
        return [] if cls.getCondaActivationCmd() else ["conda"]

    @classmethod
    def defineBinaries(cls, env: Any) -> None:
        """Install CryoSiam by pip into a conda environment of its own."""
        done = "cryosiam_installed"
        name = const.CRYOSIAM_ENV_NAME
        install = (
            f"{cls.getCondaActivationCmd()} conda create -y -n {name} -c conda-forge python=3.11 pip && "
            f"conda activate {name} && pip install '{cls.getVar(const.CRYOSIAM_SOURCE)}' && "
            f"cryosiam --version && touch {done}"
        )
        env.addPackage(
            "cryosiam",
            version=const.CRYOSIAM_VERSION,
            tar="void.tgz",
            commands=[(install.strip(), done)],
            neededProgs=cls.getDependencies(),
            default=True,
            vars={"PATH": os.environ.get("PATH", os.defpath)},
        )
