"""What the plug-in reads and writes, without running CryoSiam."""

from __future__ import annotations

import json
import unittest
from pathlib import Path

import mrcfile
import numpy as np
from pyworkflow.object import Pointer
from tomo.constants import BOTTOM_LEFT_CORNER, SCIPION
from tomo.utils import existsPlugin

from cryosiam_scipion.convert import Pick, read_picks, read_products, relion_matrix, run_name
from cryosiam_scipion.copick_project import AnnotatedTomogram, write_project
from cryosiam_scipion.matching import nearest
from cryosiam_scipion.outputs import box_voxels, coordinate, label_sizes, new_coordinates, tomo_masks
from cryosiam_scipion.tests.in_folder import InFolder
from cryosiam_scipion.volumes import write_mask_of_label

HEAD = """# CryoSiam, STAR dialect picks

data_particles

loop_
_rlnTomoName #1
_rlnCoordinateX #2
_rlnCoordinateY #3
_rlnCoordinateZ #4
_rlnAutopickFigureOfMerit #5
_cryosiamClassName #6
_cryosiamInstanceId #7
"""


class TestReading(InFolder):
    """CryoSiam's tables and manifests."""

    def test_picks_are_read_and_names_stay_names(self) -> None:
        """A class named 001 or with a space is what it was."""
        Path("picks.star").write_text(HEAD + 'T  1.5  2.25  3.0  0.75  001  7\nT  4  5  6  0.5  "two words"  0\n\n')
        self.assertEqual(
            read_picks(Path("picks.star")),
            [Pick((1.5, 2.25, 3.0), 0.75, "001", 7), Pick((4.0, 5.0, 6.0), 0.5, "two words", 0)],
        )

    def test_orientations_are_read(self) -> None:
        """Three angle columns make an orientation."""
        head = HEAD + "_rlnAngleRot #8\n_rlnAngleTilt #9\n_rlnAnglePsi #10\n"
        Path("picks.star").write_text(head + "T 1 2 3 0.5 x 1 10 20 30\n")
        self.assertEqual(read_picks(Path("picks.star"))[0].euler_degrees, (10.0, 20.0, 30.0))

    def test_damaged_tables_get_a_sentence(self) -> None:
        """A cut row, a word for a number and a missing column are told apart from picks."""
        cases = (HEAD + "T 1 2\n", HEAD + "T 1 2 x 0.5 a 1\n", "data_\nloop_\n_rlnTomoName #1\nT\n")
        for text in cases:
            Path("picks.star").write_text(text)
            with self.assertRaisesRegex(ValueError, "picks.star is"):
                read_picks(Path("picks.star"))

    def test_products_are_found_by_the_manifest(self) -> None:
        """Paths of volumes are those that the manifest names; where it is missing, a sentence says so."""
        written = {"cryosiam/1": {"denoised": {"/x/cryosiam-1/T_denoised.mrc": "1"}, "picks": {}, "overlay": {"p": ""}}}
        Path("manifest.json").write_text(json.dumps({"runs": {"T": {"written": written}}}))
        self.assertEqual(read_products(Path(), "T"), {"denoised": Path("/x/cryosiam-1/T_denoised.mrc")})
        with self.assertRaisesRegex(ValueError, "what was made of 'U'"):
            read_products(Path(), "U")

    def test_names_that_star_files_cannot_hold_are_replaced(self) -> None:
        """White space, slashes and numbers go; other names stay."""
        names = ("TS_01", "a b", "001", "1e5", "nan", "x/y", "TS-1.2")
        wanted = ["TS_01", "a-b", "TS_001", "TS_1e5", "TS_nan", "x-y", "TS-1.2"]
        self.assertEqual([run_name(name) for name in names], wanted)


class TestCoordinates(InFolder):
    """Positions and orientations as Scipion keeps them."""

    def test_positions_come_back_from_sets_of_tomograms_of_all_sizes(self) -> None:
        """Odd and even sizes: what was picked is what Scipion says, from the corner and from the centre."""
        tomograms = self.tomograms(even=(48, 96, 80), odd=(45, 97, 81))
        picks = {
            "even": [Pick((0.0, 0.0, 0.0), 0.5, "a"), Pick((79.0, 95.0, 47.0), 0.9, "b")],
            "odd": [Pick((12.25, 33.5, 44.0), 0.1, "a")],
        }
        made = new_coordinates(".", "", Pointer(tomograms), 20)
        for tomogram in tomograms.iterItems():
            for pick in picks[tomogram.getTsId()]:
                made.append(coordinate(pick, tomogram, "ab".index(pick.class_name) + 1))
        made.write()
        for one, (ts_id, pick) in zip(
            made.iterCoordinates(), [(ts_id, pick) for ts_id, some in picks.items() for pick in some]
        ):
            self.assertEqual(one.getTomoId(), ts_id)
            np.testing.assert_allclose(one.getPosition(BOTTOM_LEFT_CORNER), pick.position_voxels, atol=1e-5)
            centre = np.array(tomograms[{"_tsId": ts_id}].getDim()) / 2
            np.testing.assert_allclose(one.getPosition(SCIPION), pick.position_voxels - centre, atol=1e-5)
            self.assertAlmostEqual(one.getScore(), pick.score, places=5)
            self.assertEqual(one._cryosiamClass.get(), pick.class_name)
            self.assertEqual(one.getGroupId(), "ab".index(pick.class_name) + 1)
        self.assertEqual(made.getSize(), 3)
        self.assertEqual((made.getBoxSize(), made.getSamplingRate()), (20, 10.0))

    @unittest.skipUnless(existsPlugin("reliontomo"), "scipion-em-reliontomo is not installed")
    def test_orientations_are_those_that_relion_reads(self) -> None:
        """The angles that scipion-em-reliontomo writes for our matrix are RELION's own."""
        angles = (25.0, 70.0, -110.0)
        tomograms = self.tomograms(t=(40, 40, 40))
        one = coordinate(Pick((1.0, 2.0, 3.0), 1.0, "a", euler_degrees=angles), tomograms.getFirstItem(), 1)
        from reliontomo.convert.convertBase import getTransformInfoFromCoordOrSubtomo

        written, shifts = getTransformInfoFromCoordOrSubtomo(one, 10.0)
        np.testing.assert_allclose(shifts, 0.0, atol=1e-9)
        np.testing.assert_allclose(relion_matrix(tuple(written)), relion_matrix(angles), atol=1e-9)
        x_axis_of_the_reference = np.linalg.inv(relion_matrix(angles))[:3, 0]
        # RELION's Euler_angles2matrix, first column.
        rot, tilt, psi = np.deg2rad(angles)
        expected = [
            np.cos(psi) * np.cos(tilt) * np.cos(rot) - np.sin(psi) * np.sin(rot),
            -np.sin(psi) * np.cos(tilt) * np.cos(rot) - np.cos(psi) * np.sin(rot),
            np.sin(tilt) * np.cos(rot),
        ]
        np.testing.assert_allclose(x_axis_of_the_reference, expected, atol=1e-9)

    def test_the_nearest_pick_within_reach_is_taken(self) -> None:
        """Beyond reach there is none."""
        picks = [Pick((0.0, 0.0, 0.0), 1.0, "a"), Pick((10.0, 0.0, 0.0), 1.0, "b")]
        self.assertEqual(
            nearest([(1.0, 0.0, 0.0), (8.0, 0.0, 0.0), (5.0, 9.0, 0.0)], picks, 3.0), [picks[0], picks[1], None]
        )
        self.assertEqual(nearest([(0.0, 0.0, 0.0)], [], 3.0), [None])


class TestVolumes(InFolder):
    """Masks and sizes."""

    def test_masks_carry_their_tomogram(self) -> None:
        """Size, id and file of the tomogram are those of the mask."""
        tomograms = self.tomograms(t=(10, 12, 14), u=(11, 13, 15))
        files = {
            name: self.volume(f"{name}_mask.mrc", np.ones(size, np.int8))
            for name, size in (("t", (10, 12, 14)), ("u", (11, 13, 15)))
        }
        made = tomo_masks(".", "", tomograms, files)
        found = [(one.getTsId(), one.getDim(), one.getVolName(), one.getSamplingRate()) for one in made.iterItems()]
        self.assertEqual(found, [("t", (14, 12, 10), "t.mrc", 10.0), ("u", (15, 13, 11), "u.mrc", 10.0)])
        self.assertTrue(made.isHeterogeneousSet())

    def test_a_mask_of_one_class_is_one_there_and_zero_elsewhere(self) -> None:
        """Also where labels are 16-bit."""
        labels = np.arange(24, dtype=np.uint16).reshape(2, 3, 4) % 3
        write_mask_of_label(self.volume("labels.mrc", labels, 7.5), 2, Path("mask.mrc"))
        with mrcfile.open("mask.mrc") as file:
            np.testing.assert_array_equal(file.data, labels == 2)
            self.assertAlmostEqual(float(file.voxel_size.x), 7.5, places=4)
        self.assertEqual([path.name for path in Path().glob("*unfinished*")], [])

    def test_boxes_have_room_for_the_particle(self) -> None:
        """A ball of radius 5 voxels gets a box of 16: one and a half diameters, even."""
        labels = np.zeros((20, 20, 20), np.uint16)
        z, y, x = np.indices(labels.shape)
        labels[(x - 10) ** 2 + (y - 10) ** 2 + (z - 10) ** 2 <= 25] = 3
        sizes = label_sizes(self.volume("labels.mrc", labels))
        self.assertEqual(len(sizes), 4)
        self.assertEqual(int(sizes[3]), int((labels == 3).sum()))
        self.assertEqual(box_voxels([int(sizes[3])]), 16)


class TestProject(InFolder):
    """The copick project to learn from."""

    def test_planes_and_picks_are_written_as_they_are(self) -> None:
        """Voxels, positions in Å and labels come back; masks of one class get its label."""
        values = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
        tomogram, mask = self.volume("t.mrc", values, 8.0), self.volume("m.mrc", (values % 2).astype(np.int8), 8.0)
        some = [AnnotatedTomogram("T", tomogram, [(1.0, 2.0, 0.5)], mask)]
        config = json.loads(write_project(Path("p"), some, 8.0, 60.0, "membrane").read_text())
        self.assertEqual({one["name"]: one.get("radius") for one in config["pickable_objects"]}["particle"], 60.0)
        run = Path("p/overlay/ExperimentRuns/T")
        array = run / "VoxelSpacing8.000/wbp.zarr/0"
        planes = [np.frombuffer((array / str(z) / "0/0").read_bytes(), "<f4").reshape(4, 5) for z in range(3)]
        np.testing.assert_array_equal(planes, values)
        self.assertEqual(json.loads((array / ".zarray").read_text())["chunks"], [1, 4, 5])
        labels = (run / "Segmentations/8.000_scipion_1_semantic-multilabel.zarr/0/1/0/0").read_bytes()
        np.testing.assert_array_equal(np.frombuffer(labels, np.uint8).reshape(4, 5), values[1] % 2)
        picks = json.loads((run / "Picks/scipion_1_particle.json").read_text())
        self.assertEqual(picks["points"][0]["location"], {"x": 8.0, "y": 16.0, "z": 4.0})


if __name__ == "__main__":
    unittest.main()
