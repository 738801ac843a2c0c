"""CryoSiam's protocols, run in a real project on two small tomograms of balls at known places.

Scipion's users run these with the weights that come with CryoSiam. The variables ``CRYOSIAM_TEST_WEIGHTS`` and
``CRYOSIAM_TEST_VOXELS`` name other weights, and how far picks may be from the truth.
"""

from __future__ import annotations

import os
import unittest
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from numpy.typing import NDArray
from pwem import Domain
from pyworkflow.tests import BaseTest, setupTestProject
from tomo.constants import BOTTOM_LEFT_CORNER
from tomo.objects import SetOfCoordinates3D, SetOfSubTomograms, SubTomogram
from tomo.protocols import ProtExportCoordinates3D, ProtImportTomograms
from tomo.utils import existsPlugin

from cryosiam_scipion.convert import read_picks
from cryosiam_scipion.protocols import (
    ProtCryosiamClassify,
    ProtCryosiamDenoise,
    ProtCryosiamPick,
    ProtCryosiamSegment,
    ProtCryosiamTrain,
)
from cryosiam_scipion.tests.beads import SIZES, VOXEL_SIZE, write_tomograms

WEIGHTS = os.environ.get("CRYOSIAM_TEST_WEIGHTS", "light")
TOLERANCE_VOXELS = float(os.environ.get("CRYOSIAM_TEST_VOXELS", "6"))

RECIPE = """
name: light
voxel_size_angstrom: 10.0
specimens:
  - {preset: demo, seeds: [1, 2], shape_zyx: [80, 64, 64], share: 1.0}
validation: {seeds: [9001, 9002], shape_zyx: [48, 80, 80]}
patch_zyx: [32, 48, 48]
self_supervision: {patch_zyx: [32, 32, 32], view_zyx: [24, 24, 24]}
pretrain_dense: {steps: 2, batch: 2, learning_rate: 0.002}
dense: {steps: 2, batch: 1, learning_rate: 0.002}
particles: 40
pretrain_subtomogram: {steps: 2, batch: 4, learning_rate: 0.001}
contrastive: {steps: 2, batch: 4, learning_rate: 0.001}
"""


class CryosiamProject(BaseTest):
    """A project with two imported tomograms."""

    @classmethod
    def setUpClass(cls) -> None:
        setupTestProject(cls)
        cls.truth = write_tomograms(Path("data"))
        cls.imported = cls.imports("data", VOXEL_SIZE)

    @classmethod
    def imports(cls, folder: str, voxel_size: float, pattern: str = "*.mrc") -> Any:
        """Import tomograms by Scipion's own protocol."""
        path = os.path.abspath(folder)
        return cls.run_protocol(ProtImportTomograms, filesPath=path, filesPattern=pattern, samplingRate=voxel_size)

    @classmethod
    def protocol(cls, kind: type, tomograms: Any = None, **parameters: Any) -> Any:
        """Return a protocol on the imported tomograms, on one thread of the processor."""
        made = cls.newProtocol(kind, **parameters)
        if hasattr(made, "useGpu"):
            made.useGpu.set(False)
            made.weightsName.set(parameters.get("weightsName", WEIGHTS))
            if hasattr(made, "binThreads"):
                made.binThreads.set(1)
            if hasattr(made, "inputTomograms"):
                cls.connect(made.inputTomograms, tomograms or cls.imported, "Tomograms")
        return made

    @staticmethod
    def connect(pointer: Any, protocol: Any, output: str) -> None:
        """Let a parameter point at an output of a protocol."""
        pointer.set(protocol)
        pointer.setExtended(output)

    @classmethod
    def run_protocol(cls, kind: type, **parameters: Any) -> Any:
        """Run a protocol and return it as the project knows it afterwards."""
        return cls.launched(cls.protocol(kind, **parameters))

    @classmethod
    def launched(cls, protocol: Any) -> Any:
        """Launch a protocol, wait for it, and return it as the project knows it then."""
        cls.proj.launchProtocol(protocol, wait=True)
        done = cls.proj.getProtocol(protocol.getObjId())
        assert done.isFinished(), done.getErrorMessage()
        return done

    @classmethod
    def failed(cls, protocol: Any) -> str:
        """Launch a protocol that must fail, and return what it says."""
        try:
            cls.proj.launchProtocol(protocol, wait=True)
        except Exception as error:
            return str(error)
        done = cls.proj.getProtocol(protocol.getObjId())
        assert done.isFailed(), done.getStatus()
        return str(done.getErrorMessage())


class TestCryosiam(CryosiamProject):
    """All protocols, one after the other."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.picked = cls.run_protocol(ProtCryosiamPick)

    def sets(self, protocol: Any) -> dict[str, Any]:
        """Return the sets of coordinates of a protocol."""
        return dict(protocol.iterOutputAttributes(SetOfCoordinates3D))

    def positions(self, protocol: Any, ts_id: str) -> NDArray[np.float64]:
        """Return x, y, z in voxels of all coordinates in a tomogram, sorted."""
        found = [
            one.getPosition(BOTTOM_LEFT_CORNER)
            for some in self.sets(protocol).values()
            for one in some.iterCoordinates()
            if one.getTomoId() == ts_id
        ]
        return np.array(sorted(found))

    def test_every_ball_is_picked_where_it_is(self) -> None:
        for ts_id, beads in self.truth.items():
            found = self.positions(self.picked, ts_id)
            offsets = found[None] - beads.centres[:, None]
            nearest = offsets[np.arange(len(offsets)), np.linalg.norm(offsets, axis=2).argmin(axis=1)]
            self.assertLess(np.linalg.norm(nearest, axis=1).max(), TOLERANCE_VOXELS)
            # A picker errs to all sides, a wrong convention to one.
            self.assertLess(np.abs(nearest.mean(axis=0)).max(), TOLERANCE_VOXELS / 5)

    def test_scipion_has_the_picks_of_cryosiam_as_they_are(self) -> None:
        for ts_id in self.truth:
            table = read_picks(Path(self.picked._getExtraPath(ts_id, "picks.star")))
            np.testing.assert_allclose(
                self.positions(self.picked, ts_id), sorted(pick.position_voxels for pick in table), atol=1e-4
            )
            scores = {
                round(one.getScore(), 4)
                for some in self.sets(self.picked).values()
                for one in some.iterCoordinates()
                if one.getTomoId() == ts_id
            }
            self.assertEqual(scores, {round(pick.score, 4) for pick in table})

    @unittest.skipUnless(existsPlugin("reliontomo"), "scipion-em-reliontomo is not installed")
    def test_scipions_export_to_star_files_holds_the_balls_where_they_are(self) -> None:
        from emtable import Table

        name = next(iter(self.sets(self.picked)))
        export = self.protocol(ProtExportCoordinates3D, outputFormat=1)
        self.connect(export.inputCoordinates, self.picked, name)
        table = Table(fileName=self.launched(export)._getPath("Export", "coords.star"))
        self.assertEqual(table.size(), getattr(self.picked, name).getSize())
        for row in table:
            place = [row.rlnCoordinateX, row.rlnCoordinateY, row.rlnCoordinateZ]
            distances = np.linalg.norm(self.truth[row.rlnTomoName].centres - place, axis=1)
            self.assertLess(distances.min(), TOLERANCE_VOXELS)

    def test_there_is_a_set_for_every_species(self) -> None:
        groups = set()
        for name, some in self.sets(self.picked).items():
            labels = {(one._cryosiamClass.get(), one.getGroupId()) for one in some.iterCoordinates()}
            self.assertEqual(len(labels), 1)
            ((label, group),) = labels
            self.assertEqual(name, f"output3DCoordinates_{label.replace('-', '_')}")
            self.assertEqual(some.getSamplingRate(), VOXEL_SIZE)
            self.assertEqual(some.getBoxSize() % 2, 0)
            self.assertGreater(some.getBoxSize(), 0)
            groups.add(group)
        self.assertEqual(groups, set(range(1, len(groups) + 1)))

    def test_volumes_belong_to_their_tomograms(self) -> None:
        for output in (self.picked.tomograms, self.picked.tomoMasks):
            self.assertEqual({one.getTsId(): one.getDim()[::-1] for one in output.iterItems()}, SIZES)
            self.assertEqual(output.getSamplingRate(), VOXEL_SIZE)
            self.assertTrue(all(not os.path.isabs(one.getFileName()) for one in output.iterItems()))
        origins = {one.getTsId(): one.getShiftsFromOrigin() for one in self.imported.Tomograms.iterItems()}
        for one in self.picked.tomograms.iterItems():
            self.assertEqual(one.getShiftsFromOrigin(), origins[one.getTsId()])
        tomograms = {one.getTsId(): one.getFileName() for one in self.imported.Tomograms.iterItems()}
        self.assertEqual({one.getTsId(): one.getVolName() for one in self.picked.tomoMasks.iterItems()}, tomograms)

    def test_pictures_of_the_picks_are_shown(self) -> None:
        viewer = Domain.getViewers()["CryosiamPickViewer"](project=self.proj, protocol=self.picked)
        views = viewer._visualize(self.picked)
        self.assertEqual([view.path.stem for view in views], sorted(SIZES))
        views[0].plot()

    def test_one_set_of_all_and_only_sure_picks(self) -> None:
        done = self.run_protocol(ProtCryosiamPick, outputAs=1, threshold=0.5, boxSize=22)
        ((name, some),) = self.sets(done).items()
        self.assertEqual((name, some.getBoxSize()), ("output3DCoordinates", 22))
        self.assertGreaterEqual(min(one.getScore() for one in some.iterCoordinates()), 0.5)

    def test_masks_of_one_class_and_of_single_particles(self) -> None:
        particles = self.run_protocol(ProtCryosiamSegment, what=2).tomoMasks
        for one in particles.iterItems():
            with mrcfile.open(one.getFileName()) as file:
                self.assertEqual(set(np.unique(file.data)), {0, 1})
                inside = self.truth[one.getTsId()].centres.round().astype(int)
                self.assertGreater(file.data[inside[:, 2], inside[:, 1], inside[:, 0]].mean(), 0.7)
        single = self.run_protocol(ProtCryosiamSegment, what=6).tomoMasks
        for one in single.iterItems():
            with mrcfile.open(one.getFileName()) as file:
                self.assertGreaterEqual(file.data.max(), len(self.truth[one.getTsId()].centres))

    def test_coordinates_of_others_get_their_species(self) -> None:
        done = self.launched(self.classification(next(iter(self.sets(self.picked)))))
        name = next(iter(self.sets(self.picked)))
        given = getattr(self.picked, name)
        ((same, got),) = self.sets(done).items()
        self.assertEqual((same, got.getSize()), (name, given.getSize()))
        for before, after in zip(given.iterCoordinates(), got.iterCoordinates()):
            self.assertEqual(after.getPosition(BOTTOM_LEFT_CORNER), before.getPosition(BOTTOM_LEFT_CORNER))
            self.assertEqual(after._cryosiamClass.get(), before._cryosiamClass.get())
            self.assertAlmostEqual(after._cryosiamScore.get(), before.getScore(), places=4)

    def classification(self, output: str) -> Any:
        """Return the protocol that classifies a set of coordinates."""
        made = self.protocol(ProtCryosiamClassify)
        self.connect(made.inputParticles, self.picked, output)
        return made

    def test_subtomograms_get_their_species_and_keep_their_transforms(self) -> None:
        holder, rotations = self.subtomograms()
        made = self.protocol(ProtCryosiamClassify)
        self.connect(made.inputParticles, holder, "outputSubTomograms")
        done = self.launched(made)
        sets = {n: one for n, one in done.iterOutputAttributes(SetOfSubTomograms) if n.startswith("outputSubT")}
        self.assertEqual(sum(one.getSize() for one in sets.values()), len(rotations))
        for some in sets.values():
            for one in some.iterSubtomos():
                np.testing.assert_allclose(one.getTransform().getMatrix(), rotations[one.getObjId()], atol=1e-6)
        classes = {one.getObjLabel(): one.getSize() for one in done.classes.iterItems()}
        labels = {next(iter(some.iterItems()))._cryosiamClass.get(): some.getSize() for some in sets.values()}
        self.assertEqual(classes, labels)

    def subtomograms(self) -> tuple[Any, dict[int, NDArray[np.float64]]]:
        """Return a protocol that gives a subtomogram for every pick, turned somehow, and the turns by number.

        Extraction is other plug-ins' business; the set is made as they make it, and handed over by the protocol that
        imported the tomograms.
        """
        output = next(iter(self.sets(self.picked)))
        coordinates = getattr(self.picked, output)
        made = SetOfSubTomograms.create(self.imported._getPath(), template="subtomograms%s.sqlite")
        made.setSamplingRate(VOXEL_SIZE)
        pointer = self.protocol(ProtCryosiamClassify).inputParticles
        self.connect(pointer, self.picked, output)
        made.setCoordinates3D(pointer)
        with mrcfile.new("data/one.mrcs", np.zeros((16, 16, 16), np.float32), overwrite=True):
            pass
        turns = {}
        for number, where in enumerate(coordinates.iterCoordinates(), 1):
            one = SubTomogram()
            one.setFileName("data/one.mrcs")
            one.setSamplingRate(VOXEL_SIZE)
            one.setCoordinate3D(where.clone())
            one.setVolName(where.getTomoId())
            turn = np.eye(4)
            turn[:2, :2] = [[np.cos(number), -np.sin(number)], [np.sin(number), np.cos(number)]]
            transform = where._eulerMatrix.clone()
            transform.setMatrix(turn)
            one.setTransform(transform)
            one.setObjId(number)
            made.append(one)
            turns[number] = turn
        made.write()
        self.imported._defineOutputs(outputSubTomograms=made)
        self.imported._store()
        self.proj._storeProtocol(self.imported)
        return self.imported, turns

    def test_weights_that_were_trained_are_taken_by_the_others(self) -> None:
        Path("recipe.yaml").write_text(RECIPE)
        training = self.protocol(ProtCryosiamTrain, recipe=os.path.abspath("recipe.yaml"), head=1)
        self.connect(training.inputCoordinates, self.picked, next(iter(self.sets(self.picked))))
        self.connect(training.inputMasks, self.picked, "tomoMasks")
        trained = self.launched(training)
        self.assertTrue((Path(trained.weights.getFolder()) / "dense.json").exists())
        viewer = Domain.getViewers()["CryosiamWeightsViewer"](project=self.proj, protocol=trained)
        self.assertIn("dense.json", str(viewer._visualize(trained.weights)[0].getFileList()))
        denoising = self.protocol(ProtCryosiamDenoise)
        self.connect(denoising.inputWeights, trained, "weights")
        denoised = self.launched(denoising).tomograms
        self.assertEqual({one.getTsId(): one.getDim()[::-1] for one in denoised.iterItems()}, SIZES)


class TestCryosiamRefusals(CryosiamProject):
    """What cannot be done is said in one sentence, and an abort leaves nothing that hinders going on."""

    def test_what_the_command_says_is_what_the_protocol_says(self) -> None:
        said = self.failed(self.protocol(ProtCryosiamDenoise, weightsName="/nowhere"))
        self.assertRegex(said, r"cryosiam denoise: .*/nowhere")
        self.assertNotIn("Traceback", said)
        self.assertNotIn("exit status", said)

    def test_a_missing_command_is_said_before_anything_is_run(self) -> None:
        from cryosiam_scipion import Plugin

        variables, before = Plugin.getVars(), dict(Plugin.getVars())
        variables["CRYOSIAM_PROGRAM"] = "/nowhere/cryosiam"
        try:
            for kind in (ProtCryosiamPick, ProtCryosiamTrain):
                self.assertIn("/nowhere/cryosiam", str(self.protocol(kind).validate()))
        finally:
            variables.update(before)

    def test_parameters_that_cannot_be_meant_get_a_sentence(self) -> None:
        for parameters, word in (
            ({"threshold": 1.5}, "between 0 and 1"),
            ({"boxSize": -4}, "box size"),
            ({"voxelSize": 0.0}, "voxel size"),
            ({"nothingElse": True}, "Name the species"),
        ):
            (said,) = self.protocol(ProtCryosiamPick, **parameters).validate()
            self.assertIn(word, said)
        (said,) = self.protocol(ProtCryosiamTrain).validate()
        self.assertIn("coordinates or masks", said)

    def test_nothing_found_is_no_success(self) -> None:
        os.makedirs("flat", exist_ok=True)
        noise = np.random.default_rng(5).normal(0, 1, (48, 64, 64)).astype(np.float32)
        with mrcfile.new("flat/flat.mrc", noise, overwrite=True) as file:
            file.voxel_size = VOXEL_SIZE
        flat = self.imports("flat", VOXEL_SIZE)
        said = self.failed(self.protocol(ProtCryosiamPick, tomograms=flat, threshold=1.0))
        self.assertIn("No particle in any tomogram scores 1 or more", said)

    def test_stopped_it_goes_on_where_it_was(self) -> None:
        picking = self.protocol(ProtCryosiamPick)
        self.proj.launchProtocol(picking, wait=False)
        children = self.wait_for_command(picking)
        self.proj.stopProtocol(self.proj.getProtocol(picking.getObjId()))
        stopped = self.proj.getProtocol(picking.getObjId())
        self.assertTrue(stopped.isAborted())
        self.assertFalse([one for one in children if one.is_running() and one.status() != "zombie"])
        stopped.runMode.set(0)
        self.assertTrue(dict(self.launched(stopped).iterOutputAttributes(SetOfCoordinates3D)))

    def wait_for_command(self, protocol: Any) -> list[Any]:
        """Return the processes of the command, once there are any."""
        import time

        import psutil

        folder = protocol._getExtraPath()
        end = time.monotonic() + 300
        while time.monotonic() < end:
            found = [
                one
                for one in psutil.process_iter()
                if one.status() != "zombie" and any(folder in word for word in one.cmdline())
            ]
            if found:
                return found
            time.sleep(0.2)
        raise AssertionError("the command was not started")


if __name__ == "__main__":
    unittest.main()
