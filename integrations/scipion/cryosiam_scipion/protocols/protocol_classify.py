"""Tell the species of particles that are picked already."""

from __future__ import annotations

from typing import Any, ClassVar, Iterator

from pwem.protocols import EMProtocol
from pyworkflow.object import Float, String
from pyworkflow.protocol import params
from tomo.constants import BOTTOM_LEFT_CORNER
from tomo.objects import Coordinate3D, SetOfClassesSubTomograms, SetOfCoordinates3D, SetOfSubTomograms, SubTomogram
from tomo.protocols.protocol_base import ProtTomoBase

from cryosiam_scipion.constants import CLASS_ATTRIBUTE, SCORE_ATTRIBUTE, UNNAMED
from cryosiam_scipion.convert import Pick, read_picks
from cryosiam_scipion.matching import nearest
from cryosiam_scipion.outputs import BOX_PER_DIAMETER, attribute_name, new_coordinates
from cryosiam_scipion.protocols.protocol_base import CryosiamOnTomograms

COORDINATES, SUBTOMOGRAMS, CLASSES = "output3DCoordinates", "outputSubTomograms", "classes"
UNMATCHED = "unmatched"
"""Where CryoSiam sees no particle."""


class ProtCryosiamClassify(CryosiamOnTomograms, EMProtocol, ProtTomoBase):
    """Tell the species of particles that you picked or extracted by other programs.

    CryoSiam looks at the tomograms that they come from. Each of your particles gets the species of the nearest particle
    that CryoSiam finds there, in the attribute _cryosiamClass, and how sure it is of seeing a particle, in
    _cryosiamScore. Positions, orientations, groups, scores and images stay yours.
    """

    _label = "classify"
    _possibleOutputs: ClassVar[dict[str, type]] = {
        COORDINATES: SetOfCoordinates3D,
        SUBTOMOGRAMS: SetOfSubTomograms,
        CLASSES: SetOfClassesSubTomograms,
    }

    def _defineParams(self, form: Any) -> None:
        form.addSection(label="Input")
        form.addParam(
            "inputParticles",
            params.PointerParam,
            pointerClass="SetOfCoordinates3D,SetOfSubTomograms",
            important=True,
            label="Particles",
            help="Coordinates, or subtomograms that know theirs. CryoSiam looks at the tomograms that they were picked "
            "in; these should be as reconstructed, neither denoised nor filtered.",
        )
        form.addParam(
            "objects",
            params.StringParam,
            default="",
            label="Species",
            help="Only tell these species apart, separated by commas, such as ribosome,proteasome; empty for all.",
        )
        form.addParam(
            "nothingElse",
            params.BooleanParam,
            default=False,
            label="Nothing else in the sample?",
            help="Every particle gets the likeliest of the species named above.",
        )
        form.addParam(
            "reach",
            params.FloatParam,
            default=-1,
            label="Reach (Å)",
            help="How far the particle that CryoSiam finds may be from yours; -1 for the particle's radius, taken as a "
            "third of the box.",
        )
        self._defineWorkParams(form)

    def _command(self) -> str:
        return "classify"

    def _arguments(self) -> list[str]:
        arguments = ["--threshold", "0"]
        if self.objects.get("").strip():
            arguments += ["--objects", self.objects.get().strip()]
        return [*arguments, "--nothing-else"] if self.nothingElse.get() else arguments

    # --------------------------- input ------------------------------------------------------------------------------

    def _particles(self) -> Any:
        return self.inputParticles.get()

    def _hasSubtomograms(self) -> bool:
        return isinstance(self._particles(), SetOfSubTomograms)

    def _tomograms(self) -> Any:
        particles = self._particles()
        if self._hasSubtomograms():
            particles = particles.getCoordinates3D() if particles.hasCoordinates3D() else None
        return None if particles is None else particles.getPrecedents()

    def _iterTomograms(self) -> Iterator[Any]:
        place = SubTomogram.COORD_VOL_NAME_FIELD if self._hasSubtomograms() else Coordinate3D.TOMO_ID_ATTR
        wanted = {str(row[place]) for row in self._particles().aggregate(["COUNT"], place, [place])}
        yield from (one for one in self._tomograms().iterItems() if str(one.getTsId()) in wanted)

    def _iterParticles(self) -> Iterator[tuple[Any, Any]]:
        """Yield every particle with its coordinate, which knows its tomogram."""
        if self._hasSubtomograms():
            yield from ((one, one.getCoordinate3D()) for one in self._particles().iterSubtomos())
        else:
            yield from ((one, one) for one in self._particles().iterCoordinates())

    def _reachVoxels(self) -> float:
        """Return the reach in voxels of the tomograms."""
        voxel_size = self._tomograms().getSamplingRate()
        if self.reach.get() > 0:
            return float(self.reach.get() / voxel_size)
        particles = self._particles()
        if self._hasSubtomograms():
            edge = particles.getDim()[0] * particles.getSamplingRate()
        else:
            edge = particles.getBoxSize() * particles.getSamplingRate()
        return float(edge / BOX_PER_DIAMETER / 2 / voxel_size)

    # --------------------------- output -----------------------------------------------------------------------------

    def createOutputStep(self) -> None:
        """Register your particles by species."""
        found = self._match()
        names = _names(found)
        made = self._subtomograms(found, names) if self._hasSubtomograms() else self._coordinates(found, names)
        self._defineOutputs(**made)
        for output in made.values():
            self._defineSourceRelation(self.inputParticles, output)

    def _match(self) -> dict[int, Pick | None]:
        """Return the pick that belongs to each particle, by the particle's number."""
        places: dict[str, list[tuple[int, tuple[float, float, float]]]] = {}
        for particle, where in self._iterParticles():
            places.setdefault(str(where.getTomoId()), []).append(
                (particle.getObjId(), where.getPosition(BOTTOM_LEFT_CORNER))
            )
        reach = self._reachVoxels()
        matched: dict[int, Pick | None] = {}
        for ts_id, some in places.items():
            table = self._folder(ts_id) / "picks.star"
            picks = nearest([place for _, place in some], read_picks(table) if table.exists() else [], reach)
            matched.update((number, pick) for (number, _), pick in zip(some, picks))
        return matched

    def _coordinates(self, found: dict[int, Pick | None], names: list[str]) -> dict[str, Any]:
        particles = self._particles()
        made = {
            output: new_coordinates(self._getPath(), output, particles._precedentsPointer, particles.getBoxSize())
            for output in {attribute_name(COORDINATES, name): None for name in names}
        }
        for particle, _ in self._iterParticles():
            pick = found[particle.getObjId()]
            made[attribute_name(COORDINATES, _name(pick))].append(_labelled(particle, pick))
        return made

    def _subtomograms(self, found: dict[int, Pick | None], names: list[str]) -> dict[str, Any]:
        particles = self._particles()
        made: dict[str, Any] = {}
        for output in {attribute_name(SUBTOMOGRAMS, name): None for name in names}:
            made[output] = SetOfSubTomograms.create(self._getPath(), template="subtomograms%s.sqlite", suffix=output)
            made[output].copyInfo(particles)
        for particle, _ in self._iterParticles():
            pick = found[particle.getObjId()]
            made[attribute_name(SUBTOMOGRAMS, _name(pick))].append(_labelled(particle, pick))
        made[CLASSES] = self._classes(found, names)
        return made

    def _classes(self, found: dict[int, Pick | None], names: list[str]) -> Any:
        classes = self._createSetOfClassesSubTomograms(self.inputParticles)
        classes.setCoordinates3D(self._particles().getCoordinates3D(asPointer=True))

        def classify(item: Any, _: Any) -> None:
            item.setClassId(names.index(_name(found[item.getObjId()])) + 1)

        def name_class(item: Any) -> None:
            item.setObjLabel(names[item.getObjId() - 1])

        classes.classifyItems(updateItemCallback=classify, updateClassCallback=name_class)
        return classes

    # --------------------------- what the user sees -----------------------------------------------------------------

    def _validate(self) -> list[str]:
        if self._tomograms() is None:
            return ["The subtomograms know no coordinates, so that their places in the tomograms are unknown."]
        found: list[str] = super()._validate()
        if self._particles().getSize() == 0:
            found.append("The set holds no particles; choose another one.")
        elif self.reach.get() <= 0 and not self._hasSubtomograms() and not self._particles().getBoxSize():
            found.append("The coordinates state no box size; give the reach.")
        if self.nothingElse.get() and not self.objects.get("").strip():
            found.append("Name the species that the sample holds, for that it holds nothing else to mean something.")
        return found

    def _summary(self) -> list[str]:
        sets = [(name, one) for name, one in self.iterOutputAttributes() if name != CLASSES]
        return [f"{name}: {one.getSize()}" for name, one in sets] or ["Not finished yet."]


def _name(pick: Pick | None) -> str:
    return UNMATCHED if pick is None else pick.class_name


def _names(found: dict[int, Pick | None]) -> list[str]:
    """Return the names of all classes in alphabetical order, those that name no species last."""
    return sorted({_name(pick) for pick in found.values()}, key=lambda name: (name in (UNNAMED, UNMATCHED), name))


def _labelled(particle: Any, pick: Pick | None) -> Any:
    copy = particle.clone()
    setattr(copy, CLASS_ATTRIBUTE, String(_name(pick)))
    setattr(copy, SCORE_ATTRIBUTE, Float(0.0 if pick is None else pick.score))
    return copy
