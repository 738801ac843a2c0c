"""Classify every particle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cryosiam.identification import UNKNOWN, Classification, NamingClassifier, read_classifier
from cryosiam.stages.classify.config import ClassifyConfig
from cryosiam.stages.instances.run import load_particles

if TYPE_CHECKING:
    from cryosiam.stages.stage import StageWork, WeightsUsed
    from cryosiam.weights import SubtomogramWeights

NAME = "classify"


@dataclass(frozen=True)
class ClassifyStage:
    """The classification of particles by their embeddings.

    Parameters
    ----------
    weights
        Weights it uses.
    load
        Loads them; called once there is work to do.
    config
        Settings.
    """

    weights: WeightsUsed
    load: Callable[[], SubtomogramWeights]
    config: ClassifyConfig = field(default_factory=ClassifyConfig)
    name: str = NAME
    reads: tuple[str, ...] = ("particles", "embeddings")
    makes: tuple[str, ...] = ("picks",)

    def prepare(self) -> None:
        """Load and check the weights and their classifier."""
        self._classifier()

    def run(self, work: StageWork) -> dict[str, Any]:
        """Write the table ``picks``.

        The score of a pick is the probability that it is a particle; how sure its class is stands beside it.
        """
        table, voxel_size_angstrom = load_particles(work.scratch)
        vectors = work.scratch.table("embeddings")["vectors"]
        classifier = self._classifier()
        found = (
            classifier.classify(vectors, self._known_objects(), nothing_else=self.config.nothing_else)
            if classifier is not None
            else Classification((UNKNOWN,) * len(vectors), np.zeros(len(vectors)), np.zeros((len(vectors), 0)), ())
        )
        work.scratch.save_table(
            "picks",
            {
                "positions_angstrom": table.positions_angstrom(voxel_size_angstrom),
                "scores": np.clip(table.scores, 0.0, 1.0),
                "class_names": np.array(found.names, dtype=str),
                "instance_ids": table.ids,
                "confidence": found.confidence,
            },
        )
        counts = Counter(found.names).most_common()
        work.note(f"{len(table)} particles" + "".join(f", {count} {name}" for name, count in counts))
        return {"classes": dict(counts)}

    def _known_objects(self) -> tuple[str, ...] | None:
        if self.config.objects is None:
            return None
        return tuple(name for name in self.config.objects if name != UNKNOWN)

    def _classifier(self) -> NamingClassifier | None:
        """Return the weights' classifier; None where they embed without naming, as imported ones do."""
        model = self.load()
        if not model.classifier and not model.card.species:
            return None
        classifier = read_classifier(model.classifier, model.card.species)
        return classifier if self.config.confidence is None else classifier.with_threshold(self.config.confidence)
