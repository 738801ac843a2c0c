"""What all protocols share that run CryoSiam on each tomogram of a set."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from subprocess import CalledProcessError
from typing import TYPE_CHECKING, Any, Iterator, Sequence

from pyworkflow.constants import BETA
from pyworkflow.protocol import params
from pyworkflow.protocol.constants import GPU_LIST, STEPS_PARALLEL, USE_GPU

from cryosiam_scipion import SHELL, Plugin
from cryosiam_scipion.constants import DEFAULT_WEIGHTS
from cryosiam_scipion.convert import file_of, read_products, run_name
from cryosiam_scipion.inputs import objections, warnings

if TYPE_CHECKING:
    from pwem.protocols import EMProtocol as Mixin
else:
    # The protocols bring the base class; Scipion would list these here as protocols of their own.
    Mixin = object

CONTRASTS = ("auto", "dark", "bright")


class CryosiamCommand(Mixin):
    """Calls CryoSiam's command; mixed into protocols."""

    stepsExecutionMode = STEPS_PARALLEL
    _devStatus = BETA

    def _defineGpuParams(self, form: Any) -> None:
        form.addHidden(
            USE_GPU,
            params.BooleanParam,
            default=True,
            label="Use GPU?",
            help="Without a GPU, CryoSiam works on the processor: one to three minutes for most tomograms.",
        )
        form.addHidden(
            GPU_LIST,
            params.StringParam,
            default="0",
            label="Choose GPU IDs",
            help="GPUs to use, such as 0 or 0,1. Each Scipion thread takes those that are free.",
        )

    def _defineWeightsParams(self, form: Any) -> None:
        form.addParam(
            "inputWeights",
            params.PointerParam,
            pointerClass="CryosiamWeights",
            allowsNull=True,
            label="Trained weights",
            help="Weights that the protocol *train* made; empty for those named below.",
        )
        form.addParam(
            "weightsName",
            params.StringParam,
            default=DEFAULT_WEIGHTS,
            expertLevel=params.LEVEL_ADVANCED,
            label="or weights by name",
            help="A name such as *light*, the weights that come with CryoSiam, or a folder of weights.",
        )

    def _weights(self) -> str:
        trained = self.inputWeights.get()
        return os.path.abspath(trained.getFolder()) if trained is not None else self._weightsByName()

    def _weightsByName(self) -> str:
        return str(self.weightsName.get("")).strip() or DEFAULT_WEIGHTS

    def _runCryosiam(self, arguments: Sequence[str]) -> None:
        """Run the command; where it fails, fail with the sentence that it said.

        Raises
        ------
        RuntimeError
            If the command ends with an error.
        """
        log = Path(self.getStderrLog())
        before = log.stat().st_size if log.exists() else 0
        words = " ".join(shlex.quote(word) for word in arguments)
        if self._usesGpu():
            # Scipion puts the numbers of the GPUs into the command by the operator %.
            words = words.replace("%", "%%")
        try:
            self.runJob(
                Plugin.getProgram(self._shellVariables()),
                words,
                env=Plugin.getEnviron(),
                executable=SHELL,
                numberOfMpi=1,
                numberOfThreads=1,
            )
        except CalledProcessError as error:
            raise RuntimeError(_last_words(log, before, arguments)) from error

    def _objectionsToCommand(self) -> list[str]:
        """Return one sentence for each reason why the command cannot be run."""
        found = [Plugin.whyMissing()]
        if self._usesGpu() and not self.gpuList.get("").strip():
            found.append("Name the GPUs to use, or say that none is to be used.")
        return [sentence for sentence in found if sentence]

    def _usesGpu(self) -> bool:
        return bool(self.useGpu.get())

    def _threads(self) -> int:
        return int(self.binThreads.get())

    def _shellVariables(self) -> str:
        """Return what is set for the command alone: its threads, and the GPUs that it sees."""
        threads = max(1, self._threads())
        gpus = "%(GPU)s" if self._usesGpu() else ""
        return f"OMP_NUM_THREADS={threads} NUMBA_NUM_THREADS={threads} CUDA_VISIBLE_DEVICES={gpus}"


class CryosiamOnTomograms(CryosiamCommand):
    """Runs a command on every tomogram of ``inputTomograms``, each into a folder of its own."""

    def _defineInputParams(self, form: Any) -> None:
        form.addSection(label="Input")
        form.addParam(
            "inputTomograms",
            params.PointerParam,
            pointerClass="SetOfTomograms",
            important=True,
            label="Tomograms",
            help="Tomograms as reconstructed, of about 10 Å per voxel; others are resampled, and results come back "
            "on the grid of the input.",
        )

    def _defineWorkParams(self, form: Any) -> None:
        """Add what every command takes: weights, voxel size, contrast, low-pass, memory, GPUs and threads."""
        self._defineWeightsParams(form)
        form.addParam(
            "voxelSize",
            params.FloatParam,
            default=-1,
            expertLevel=params.LEVEL_ADVANCED,
            label="Voxel size (Å)",
            help="Voxel size to work with; -1 for that of the set. Give one only where the set states a wrong one. "
            "The wizard reads it from the header of the first tomogram.",
        )
        form.addParam(
            "contrast",
            params.EnumParam,
            choices=list(CONTRASTS),
            default=0,
            expertLevel=params.LEVEL_ADVANCED,
            label="Grey value of protein",
            help="*auto* finds out whether protein is dark or bright.",
        )
        form.addParam(
            "lowPass",
            params.FloatParam,
            default=-1,
            expertLevel=params.LEVEL_ADVANCED,
            label="Low-pass (Å)",
            help="Show the network no detail finer than this; -1 for all. 30 helps where noise hides everything, and "
            "costs precision.",
        )
        form.addParam(
            "memory",
            params.StringParam,
            default="",
            expertLevel=params.LEVEL_ADVANCED,
            label="Memory",
            help="Memory to stay within for one tomogram, such as 4G; empty for 2.2 GB, or 60 % of what is free where "
            "that is less.",
        )
        self._defineGpuParams(form)
        form.addParallelSection(threads=2, mpi=0, binThreads=4)

    # --------------------------- steps -----------------------------------------------------------------------------

    def _insertAllSteps(self) -> None:
        done = [
            self._insertFunctionStep(self.processStep, ts_id, prerequisites=[], needsGPU=self._usesGpu())
            for ts_id in self._tsIds()
        ]
        self._insertFunctionStep(self.createOutputStep, prerequisites=done, needsGPU=False)

    def processStep(self, tsId: str) -> None:
        """Run the command on one tomogram."""
        link = self._link(tsId)
        arguments = [self._command(), "--mrc", str(link), "--voxel-size", repr(self._voxelSize())]
        arguments += ["--out", str(self._folder(tsId)), "--weights", self._weights()]
        arguments += ["--contrast", CONTRASTS[self.contrast.get()]]
        arguments += ["--device", "auto" if self._usesGpu() else "cpu"]
        if self.lowPass.get() > 0:
            arguments += ["--low-pass", repr(self.lowPass.get())]
        if self.memory.get("").strip():
            arguments += ["--memory", self.memory.get().strip()]
        self._runCryosiam([*arguments, *self._arguments()])

    def _command(self) -> str:
        """Return the command that makes what the protocol gives."""
        raise AssertionError(f"{type(self).__name__} has no command")

    def _arguments(self) -> list[str]:
        """Return what a command takes besides what all take."""
        return []

    def createOutputStep(self) -> None:
        """Register what the command made."""
        raise AssertionError(f"{type(self).__name__} makes no output")

    # --------------------------- what the user sees -----------------------------------------------------------------

    def _validate(self) -> list[str]:
        found = self._objectionsToCommand()
        if self.voxelSize.get() == 0 or self.voxelSize.get() < -1:
            found.append("The voxel size must be above zero, or -1 for that of the set.")
        tomograms = self._tomograms()
        return found if tomograms is None else found + objections(tomograms, self.voxelSize.get())

    def _warnings(self) -> list[str]:
        tomograms = self._tomograms()
        return [] if tomograms is None else warnings(tomograms, self._voxelSize())

    def _citations(self) -> list[str]:
        return ["Stojanovska2025", "Stojanovska2024"]

    # --------------------------- tomograms and files ----------------------------------------------------------------

    def _tomograms(self) -> Any:
        """Return the set of tomograms to work on."""
        return self.inputTomograms.get()

    def _iterTomograms(self) -> Iterator[Any]:
        yield from self._tomograms().iterItems()

    def _tsIds(self) -> list[str]:
        return [str(tomogram.getTsId()) for tomogram in self._iterTomograms()]

    def _voxelSize(self) -> float:
        given = float(self.voxelSize.get())
        return given if given > 0 else float(self._tomograms().getSamplingRate())

    def _folder(self, tsId: str) -> Path:
        """Return the folder of a tomogram's results, relative to the project."""
        return Path(self._getExtraPath(run_name(tsId)))

    def _products(self, product: str) -> dict[str, Path]:
        """Return the files of ``product`` by tilt-series id, relative to the project: it may be moved."""
        files = {}
        for ts_id in self._tsIds():
            folder = self._folder(ts_id)
            path = read_products(folder, run_name(ts_id))[product]
            files[ts_id] = folder / path.parent.name / path.name
        return files

    def _link(self, tsId: str) -> Path:
        """Link a tomogram under the name that CryoSiam is to know it by; its file may be named anyhow."""
        tomogram = next(one for one in self._iterTomograms() if str(one.getTsId()) == tsId)
        link = self._folder(tsId) / "input" / f"{run_name(tsId)}.mrc"
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()
        link.symlink_to(os.path.abspath(file_of(tomogram)))
        return link


def _last_words(log: Path, before: int, arguments: Sequence[str]) -> str:
    """Return the sentence by which the command said why it failed, from what it added to the log."""
    name = f"cryosiam {arguments[0]}"
    if not log.exists():
        return f"{name} failed; its output says why"
    with log.open("rb") as file:
        file.seek(before)
        said = file.read().decode(errors="replace").splitlines()
    errors = [line[len("error: ") :] for line in said if line.startswith("error: ")]
    return f"{name}: {errors[-1]}" if errors else f"{name} failed; {log} says why"
