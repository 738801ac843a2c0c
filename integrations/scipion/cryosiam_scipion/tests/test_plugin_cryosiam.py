"""What Scipion finds of the plug-in, and what is said before anything is run."""

from __future__ import annotations

import json
import os
import shlex
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from pwem import Domain
from pyworkflow.object import Float, Pointer
from pyworkflow.utils.process import buildRunCommand
from tomo.objects import Tomogram

from cryosiam_scipion import Plugin, _references, source
from cryosiam_scipion.inputs import header_voxel_size, objections, warnings
from cryosiam_scipion.outputs import new_coordinates
from cryosiam_scipion.tests.in_folder import InFolder


class TestInputs(InFolder):
    """What is said before anything is run."""

    def test_sound_tomograms_get_no_word(self) -> None:
        """Also where they differ in size."""
        tomograms = self.tomograms(TS_1=(8, 8, 8), TS_2=(9, 10, 11))
        self.assertEqual(objections(tomograms), [])
        self.assertEqual(warnings(tomograms, 10.0), [])

    def test_each_thing_wrong_gets_a_sentence(self) -> None:
        """No tomograms, no sampling rate, no id, a missing file, another format, two names that become one."""
        self.assertIn("no tomograms", objections(self.tomograms())[0])
        tomograms = self.tomograms(a=(8, 8, 8))
        tomograms.setSamplingRate(0)
        self.assertIn("no sampling rate", objections(tomograms)[0])
        self.assertEqual(objections(tomograms, 10.0), [])
        for change, word in (
            ({"setTsId": None}, "no tilt-series id"),
            ({"setFileName": "gone.mrc"}, "is not there"),
            ({"setFileName": "other.hdf"}, "no MRC file"),
        ):
            tomograms = self.tomograms()
            tomogram = Tomogram()
            tomogram.setTsId("t")
            tomogram.setSamplingRate(10.0)
            tomogram.setFileName(str(self.volume("t.mrc", np.zeros((8, 8, 8), np.float32))))
            Path("other.hdf").write_bytes(b"")
            for setter, value in change.items():
                getattr(tomogram, setter)(value)
            with mock.patch.object(tomograms, "iterItems", return_value=[tomogram]), mock.patch.object(
                tomograms, "getSize", return_value=1
            ):
                self.assertIn(word, objections(tomograms)[0])
        both = {"x y": (8, 8, 8), "x-y": (8, 8, 8)}
        self.assertIn("'x-y'", objections(self.tomograms(**both))[0])

    def test_what_is_probably_not_meant_gets_a_warning(self) -> None:
        """Another voxel size in the header, an unusual one, a name that STAR cannot hold."""
        said = warnings(self.tomograms(**{"001": (8, 8, 8)}), 2.0)
        self.assertEqual(len(said), 3)
        for words, sentence in zip(("2 Å", "'001'", "states 10 Å"), said):
            self.assertIn(words, sentence)

    def test_headers_that_know_nothing_are_not_believed(self) -> None:
        """1 Å, 0 Å and files that are no MRC."""
        for voxel_size, wanted in ((1.0, None), (0.0, None), (12.5, 12.5)):
            path = self.volume("t.mrc", np.zeros((8, 8, 8), np.float32), voxel_size)
            self.assertEqual(header_voxel_size(str(path)), wanted)
        Path("t.mrc").write_bytes(b"no MRC")
        self.assertIsNone(header_voxel_size("t.mrc"))


class TestPlugin(InFolder):
    """What Scipion finds, and how the command is called."""

    def setting(self, **values: str) -> None:
        """Set variables of the configuration for this test."""
        self.enter(mock.patch.dict(Plugin.getVars(), values))

    def test_protocols_viewers_wizards_and_objects_are_found(self) -> None:
        """And the tree of protocols names no other ones."""
        wanted = {f"ProtCryosiam{name}" for name in ("Pick", "Segment", "Denoise", "Classify", "Train")}
        self.assertEqual({name for name in Domain.getProtocols() if "ryosiam" in name}, wanted)
        tree = (Path(__file__).parents[1] / "protocols.conf").read_text()
        self.assertEqual({word for word in tree.split('"') if word.startswith("ProtCryosiam")}, wanted)
        self.assertIn("CryosiamWeights", Domain.getObjects())
        for found, names in (
            (Domain.getViewers(), ("CryosiamPickViewer", "CryosiamWeightsViewer")),
            (Domain.getWizards(), ("CryosiamVoxelSizeWizard", "CryosiamBoxSizeWizard", "CryosiamDiameterWizard")),
        ):
            self.assertLessEqual(set(names), set(found))

    def test_references_and_logo_are_there(self) -> None:
        """Every reference has its entry."""
        plugin = Domain.getPluginModule("cryosiam_scipion")
        self.assertLessEqual(set(_references), set(plugin._bibtex))
        self.assertTrue((Path(plugin.__file__).parent / plugin._logo).exists())

    def test_a_program_by_path_needs_no_environment(self) -> None:
        """By name it is activated."""
        self.setting(CRYOSIAM_PROGRAM="/opt/bin/cryosiam", CRYOSIAM_ENV_ACTIVATION="conda activate x")
        self.assertEqual(Plugin.getProgram("A=1"), "A=1 /opt/bin/cryosiam")
        self.setting(CRYOSIAM_PROGRAM="cryosiam", CRYOSIAM_ENV_ACTIVATION=". /x/activate;")
        self.assertEqual(Plugin.getProgram("A=1"), ". /x/activate && A=1 cryosiam")

    def test_the_command_is_what_a_shell_takes(self) -> None:
        self.setting(CRYOSIAM_PROGRAM="/opt/my programs/cryosiam")
        program = Plugin.getProgram("A=1 CUDA_VISIBLE_DEVICES=%(GPU)s")
        command = buildRunCommand(program, "pick --low-pass 50%%", 1, env=Plugin.getEnviron(), gpuList=[0, 2])
        self.assertEqual(
            shlex.split(command),
            ["A=1", "CUDA_VISIBLE_DEVICES=0,2", "/opt/my programs/cryosiam", "pick", "--low-pass", "50%"],
        )

    def test_a_missing_program_gets_a_sentence(self) -> None:
        """It says what to install or set."""
        self.setting(CRYOSIAM_PROGRAM="/nowhere/cryosiam")
        self.assertIn("scipion3 installb cryosiam", Plugin.whyMissing())
        self.setting(CRYOSIAM_PROGRAM="/bin/ls")
        self.assertEqual(Plugin.whyMissing(), "")

    def test_the_command_does_not_see_the_packages_of_scipion(self) -> None:
        """Python's search path is left behind."""
        with mock.patch.dict(os.environ, {"PYTHONPATH": "/scipion", "PYTHONHOME": "/scipion"}):
            self.assertEqual({"PYTHONPATH", "PYTHONHOME"} & set(Plugin.getEnviron()), set())

    def test_the_installation_makes_an_environment_of_its_own(self) -> None:
        """By conda, with what CRYOSIAM_SOURCE names."""
        self.setting(CRYOSIAM_SOURCE="/src[train]")
        env = mock.Mock()
        Plugin.defineBinaries(env)
        ((name,), options) = env.addPackage.call_args
        ((command, done),) = options["commands"]
        self.assertEqual(name, "cryosiam")
        self.assertIn("conda create -y -n cryosiam-", command)
        self.assertIn("pip install '/src[train]'", command)
        self.assertTrue(command.endswith(f"touch {done}"))

    def test_cryosiam_comes_from_where_the_plug_in_came_from(self) -> None:
        """A source tree, a repository, or the package index."""
        notes = (
            ({"url": "file:///a%20b/integrations/scipion", "dir_info": {}}, "/a b[train]"),
            (
                {"url": "https://x.org/r.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
                "cryosiam[train] @ git+https://x.org/r.git@abc",
            ),
            ({"url": "file:///downloads/plugin.whl"}, "cryosiam[train]"),
        )
        for note, wanted in notes:
            with mock.patch.object(source, "distribution") as distribution:
                distribution.return_value.read_text.return_value = json.dumps(note)
                self.assertEqual(source.source_of_cryosiam(), wanted)


class TestWizards(InFolder):
    """Values that wizards fill in."""

    def filled_in(self, wizard: str, **parameters: Any) -> dict[str, Any]:
        """Return what a wizard puts into a form of these parameters."""
        form = mock.Mock()
        values: dict[str, Any] = {}
        form.setVar.side_effect = values.__setitem__
        for name, value in parameters.items():
            setattr(form.protocol, name, value)
        Domain.getWizards()[wizard]().show(form)
        return values

    def test_voxel_size_comes_from_the_header(self) -> None:
        """Else from the set."""
        tomograms = self.tomograms(t=(8, 8, 8))
        self.volume("t.mrc", np.zeros((8, 8, 8), np.float32), 12.5)
        self.assertEqual(self.filled_in("CryosiamVoxelSizeWizard", _tomograms=lambda: tomograms), {"voxelSize": 12.5})
        self.volume("t.mrc", np.zeros((8, 8, 8), np.float32), 0.0)
        self.assertEqual(self.filled_in("CryosiamVoxelSizeWizard", _tomograms=lambda: tomograms), {"voxelSize": 10.0})

    def test_box_comes_from_the_diameter(self) -> None:
        """One and a half diameters of 270 Å are 40.5 voxels of 10 Å: 42, which is even."""
        known = {"_tomograms": lambda: self.tomograms(t=(8, 8, 8)), "_voxelSize": lambda: 10.0}
        self.assertEqual(self.filled_in("CryosiamBoxSizeWizard", diameter=Float(270), **known), {"boxSize": 42})
        self.assertEqual(self.filled_in("CryosiamBoxSizeWizard", diameter=Float(-1), **known), {"boxSize": 0})

    def test_diameter_comes_from_the_box(self) -> None:
        """The other way round."""
        coordinates = new_coordinates(".", "", Pointer(self.tomograms(t=(8, 8, 8))), 30)
        found = self.filled_in("CryosiamDiameterWizard", inputCoordinates=Pointer(coordinates))
        self.assertEqual(found, {"diameter": 200.0})


if __name__ == "__main__":
    unittest.main()
