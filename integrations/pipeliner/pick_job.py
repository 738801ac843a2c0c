"""Particle picking as a job of the CCP-EM pipeliner, which Doppio shows without further ado.

The pipeliner finds the job by its entry point in the group ``ccpem_pipeliner.jobs``. Its environment needs neither
torch nor our other dependencies: the job calls the command ``cryosiam``, which may live in another environment.
Written for ccpem-pipeliner 1.6.1.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeliner.display_tools import create_results_display_object
from pipeliner.external_program_utils import ExternalProgram
from pipeliner.job_options import (
    EXT_STARFILE,
    FileDescription,
    FloatJobOption,
    InputNodeJobOption,
    MultipleChoiceJobOption,
    StringJobOption,
)
from pipeliner.nodes import (
    NODE_LOGFILE,
    NODE_PARTICLEGROUPMETADATA,
    NODE_TOMOGRAMGROUPMETADATA,
    NODE_TOMOOPTIMISATIONSET,
)
from pipeliner.pipeliner_job import PipelinerCommand, PipelinerJob, Ref
from pipeliner.starfile_handler import StarFile

import cryosiam
from cryosiam.scores import LEAST_SCORE

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMAND: Final = "cryosiam"
_KEYWORDS: Final = ["relion", "tomo", "cryosiam"]
_PARTICLES: Final = "particles.star"
_OPTIMISATION_SET: Final = "optimisation_set.star"
_LOGFILE: Final = "logfile.pdf"
_NODES: Final = "RELION_OUTPUT_NODES.star"
_AUTOMATIC: Final = "automatic"


class PickTomogramsJob(PipelinerJob):  # type: ignore[misc]
    """Find and name particles in tomograms, without labels."""

    OUT_DIR = "Picks"
    PROCESS_NAME = "cryosiam.autopick.tomo"
    CATEGORY_LABEL = "Automatic Particle Picking"

    def __init__(self) -> None:
        super().__init__()
        self.is_tomo = True
        self._describe()
        self.joboptions.update(_options())
        self.get_runtab_options(threads=True, addtl_args=True)

    def create_output_nodes(self) -> None:
        """Announce the files that there are in any case."""
        self.add_output_node(_PARTICLES, NODE_PARTICLEGROUPMETADATA, _KEYWORDS)
        self.add_output_node(_OPTIMISATION_SET, NODE_TOMOOPTIMISATIONSET, _KEYWORDS)
        self.add_output_node(_LOGFILE, NODE_LOGFILE, _KEYWORDS)

    def create_post_run_output_nodes(self) -> None:
        """Announce the files of each species, which the command has named to RELION."""
        announced = {Path(node.name).name for node in self.output_nodes}
        columns = ["_rlnPipeLineNodeName", "_rlnPipeLineNodeTypeLabel"]
        nodes = StarFile(str(Path(self.output_dir) / _NODES)).loop_as_list("output_nodes", columns)
        for name, label in nodes:
            if Path(name).name not in announced:
                self.add_output_node(Path(name).name, label.partition(".")[0], _KEYWORDS)

    def get_commands(self) -> list[PipelinerCommand]:
        """Return the one command."""
        command = [_COMMAND, "relion-job", "--o", self.output_dir]
        command += ["--in_tomograms", self.joboptions["in_tomoset"].get_string()]
        for name in ("objects", "threshold", "weights", "tomogram", "contrast", "gpu"):
            text = self.joboptions[name].get_string()
            if text and text != _AUTOMATIC:
                command += [f"--{name}", text]
        command += ["--j", str(self.get_nr_threads()), *self.parse_additional_args()]
        return [PipelinerCommand(command)]

    def create_results_display(self) -> Sequence[Any]:
        """Show how many particles of each species there are, how they score, and the pictures."""
        particles = Path(self.output_dir) / _PARTICLES
        columns = ["_rlnTomoName", "_cryosiamClassName", "_rlnAutopickFigureOfMerit"]
        rows = StarFile(str(particles)).loop_as_list("particles", columns)
        files = [str(particles)]
        counts = sorted(Counter((tomogram, name) for tomogram, name, _ in rows).items())
        table = create_results_display_object(
            "table",
            title="Particles",
            headers=["Tomogram", "Species", "Particles"],
            table_data=[[tomogram, name, str(count)] for (tomogram, name), count in counts],
            associated_data=files,
        )
        scores = create_results_display_object(
            "histogram",
            title="Scores",
            data_to_bin=[float(score) for _, _, score in rows],
            xlabel="Score",
            ylabel="Particles",
            associated_data=files,
        )
        pictures = [
            create_results_display_object(
                "image",
                title=path.stem,
                image_path=str(path),
                image_desc="A slice of the tomogram and the picks in it",
                associated_data=files,
            )
            for path in sorted(Path(self.output_dir).glob("*.png"))
        ]
        return [table, scores, *pictures]

    def gather_metadata(self) -> dict[str, Any]:
        """Return the number of particles of each species."""
        particles = str(Path(self.output_dir) / _PARTICLES)
        names = [name for (name,) in StarFile(particles).loop_as_list("particles", ["_cryosiamClassName"])]
        return {"particles": len(names), "particles_of_species": dict(Counter(names))}

    def _describe(self) -> None:
        info = self.jobinfo
        info.display_name = "CryoSiam particle picking"
        info.version = cryosiam.__version__
        info.job_author = "The CryoSiam developers"
        info.short_desc = "Find and name particles in tomograms, without labels"
        info.long_desc = (
            "Denoises each tomogram, segments it, separates the particles, and names those that the weights know. "
            "Writes particles and an optimisation set for all of them and for each species, ready for extraction."
        )
        info.programs = [ExternalProgram(command=_COMMAND, vers_com=[_COMMAND, "--version"])]
        info.references = [
            Ref(
                authors=["Stojanovska F", "Sanchez RM", "Jensen RK", "Mahamid J", "Kreshuk A", "Zaugg JB"],
                title="CryoSiam: self-supervised representation learning for automated analysis of cryo-electron "
                "tomograms",
                journal="bioRxiv",
                year="2025",
                doi="10.1101/2025.11.11.687379",
            )
        ]


def _options() -> dict[str, Any]:
    """Return the fields of the form, in their order."""
    return {
        "in_tomoset": InputNodeJobOption(
            label="Input tomograms:",
            node_type=NODE_TOMOGRAMGROUPMETADATA,
            node_kwds=["relion", "tomo"],
            pattern=FileDescription("Tomograms, denoised or otherwise", EXT_STARFILE),
            help_text="The tomograms.star of a Reconstruct Tomograms or Denoise Tomograms job.",
            is_required=True,
        ),
        "objects": StringJobOption(
            label="Species:",
            help_text="Names of the species to pick, separated by commas; all that the weights know where empty.",
            in_continue=True,
        ),
        "threshold": FloatJobOption(
            label="Least score:",
            default_value=LEAST_SCORE,
            hard_min=0.0,
            hard_max=1.0,
            suggested_min=0.0,
            suggested_max=1.0,
            step_value=0.05,
            help_text="Particles that score less are left out. Raised later, nothing is computed again.",
            in_continue=True,
        ),
        "tomogram": MultipleChoiceJobOption(
            label="Which tomograms:",
            choices=[_AUTOMATIC, "reconstructed", "halves", "denoised"],
            default_value=_AUTOMATIC,
            help_text="By default the reconstruction from all data, or else the mean of the two halves.",
        ),
        "contrast": MultipleChoiceJobOption(
            label="Grey value of protein:",
            choices=[_AUTOMATIC, "dark", "bright"],
            default_value=_AUTOMATIC,
            help_text="Found out by default. RELION's tomograms have dark protein unless it was inverted.",
        ),
        "weights": StringJobOption(
            label="Weights:",
            default_value="light",
            help_text="Name of the weights, or the folder they are in; 'cryosiam weights list' shows those there are.",
        ),
        "gpu": StringJobOption(
            label="GPU:",
            help_text="Number of the GPU to use; found out where empty.",
            in_continue=True,
        ),
    }
