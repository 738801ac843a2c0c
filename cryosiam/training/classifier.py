"""The classifier that ships: a reference set of neighbours or a small network, whichever names strangers better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cryosiam.errors import InputError
from cryosiam.evaluation.calibration import reliability
from cryosiam.evaluation.identification import f1_per_class
from cryosiam.identification.calibration import choose_threshold, fit_temperature
from cryosiam.training.particles import HELD_OUT_ONE_IN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from cryosiam.identification import NamingClassifier
    from cryosiam.networks.subtomogram import SubtomogramNetwork
    from cryosiam.training.particles import Particles
    from cryosiam.weights import WeightsCard

ACCURACY: Final = 0.4
"""Share of the given names that are to be right; a particle whose name is less sure stays without."""

MOST_REFERENCE_BYTES: Final = 1_000_000
"""Size of a reference set, in single precision."""

FEWEST: Final = 8
"""A species of which fewer particles were found is not learnt: its names would be guesses."""


@dataclass(frozen=True)
class Embedded:
    """Embeddings of particles and their species.

    Parameters
    ----------
    vectors
        ``(n, d)`` unit vectors.
    names
        ``(n,)`` species, empty where the instance is no particle.
    """

    vectors: NDArray[np.float32]
    names: NDArray[np.str_]

    def select(self, mask: NDArray[np.bool_]) -> Embedded:
        """Return those where ``mask`` (``(n,)`` bool) is true."""
        return Embedded(self.vectors[mask], self.names[mask])


def train_classifier(
    particles: Particles, weights_folder: Path, report: Callable[[str], None], strangers: Particles | None = None
) -> WeightsCard:
    """Fit both classifiers on the embeddings of subtomogram weights, and put the better one into them.

    Both learn from most specimens. The others, which neither network nor classifiers learnt from, decide between the
    two. See `held_out_parts` for temperature, threshold and what the card states.

    Parameters
    ----------
    particles
        As the network learnt from.
    weights_folder
        Folder of the weights; they are written anew with the classifier.
    report
        Told how good each classifier is.
    strangers
        All particles of held-out tomograms; by default those of the held-out specimens.

    Returns
    -------
    WeightsCard
        Card of the weights as written.

    Raises
    ------
    InputError
        If fewer than two species, or no held-out particles of them, are there.
    WeightsError
        If the folder holds no subtomogram weights.
    """
    from cryosiam.training.subtomogram_export import write_with_names
    from cryosiam.weights import load_subtomogram

    weights = load_subtomogram(weights_folder)
    learnt, held_out = particles.split(HELD_OUT_ONE_IN)
    parts = (learnt, *held_out_parts(held_out, strangers))
    known, tuning, found, test = (_embedded(weights.network, part) for part in parts)
    classifier, figures = best_classifier(known, tuning, found, test, report)
    return write_with_names(
        weights_folder, weights.network, weights.card, classifier.class_names, classifier.to_arrays(), figures
    )


def held_out_parts(held_out: Particles, strangers: Particles | None) -> tuple[Particles, Particles, Particles]:
    """Return what decides between classifiers, what calibrates them, and what the figures are taken from.

    Where there are enough held-out tomograms, half of them calibrate and the others give the figures: these are noisy,
    and instances that are no particle are as frequent as `pick` finds them.

    Parameters
    ----------
    held_out
        Particles of specimens that were not learnt from.
    strangers
        All particles of held-out tomograms, if there are any.
    """
    if strangers is None:
        tuned, test = held_out.split(2)
        return tuned, tuned, test
    found, test = strangers.split(2)
    return (held_out, found, test) if found.species and test.species else (held_out, held_out, strangers)


def best_classifier(
    known: Embedded, tuning: Embedded, found: Embedded, test: Embedded, report: Callable[[str], None]
) -> tuple[NamingClassifier, dict[str, float]]:
    """Fit both classifiers, choose one and measure it.

    Parameters
    ----------
    known
        What they learn from; species with fewer than `FEWEST` particles are left out.
    tuning
        What decides between them.
    found
        What temperature and threshold are fitted on: instances that are no particle among them, as often as found.
    test
        What figures are measured on.
    report
        Told of both.

    Returns
    -------
    NamingClassifier
        The one that names more of ``tuning`` rightly, calibrated.
    dict
        Figures of `measure`, and of both classifiers those that were compared.

    Raises
    ------
    InputError
        If there is too little to learn from, or nothing to calibrate with.
    """
    from cryosiam.identification.neighbours import choose_references
    from cryosiam.identification.network import fit_network

    species, count = np.unique(known.names[known.names != ""], return_counts=True)
    species = species[count >= FEWEST]
    if len(species) < 2:
        raise InputError(f"species can be named only where two or more have {FEWEST} particles; ask for more particles")
    known = known.select(np.isin(known.names, species))
    if not all(np.isin(part.names, species).any() for part in (tuning, found, test)):
        raise InputError(
            "no particles of species that were learnt are held out to calibrate and measure names with; "
            "ask for more specimens or more tomograms of validation"
        )
    most = max(1, MOST_REFERENCE_BYTES // (4 * known.vectors.shape[1] * len(species)))
    candidates: dict[str, NamingClassifier] = {
        "neighbours": choose_references(known.vectors, known.names.tolist(), most),
        "network": fit_network(known.vectors, known.names.tolist()),
    }
    compared = {}
    for kind, one in candidates.items():
        candidates[kind] = _calibrated(one, found)
        compared[kind] = _right(one, tuning.select(np.isin(tuning.names, species)))
        report(f"{kind}: {compared[kind]:.3f} of {len(tuning.names)} held-out particles named rightly")
    chosen = max(candidates, key=lambda kind: compared[kind])
    raw = {"neighbours": 0.1, "network": 1.0}[chosen]
    figures = measure(candidates[chosen], test)
    figures["calibration_error_before"] = measure(candidates[chosen].with_temperature(raw), test)["calibration_error"]
    figures |= {f"top1_{kind}": _right(one, test) for kind, one in candidates.items()}
    return candidates[chosen], {name: round(value, 4) for name, value in figures.items()}


def _calibrated(classifier: NamingClassifier, found: Embedded) -> NamingClassifier:
    warm = classifier.with_temperature(fit_temperature(classifier, found.vectors, found.names.tolist()))
    named = warm.classify(found.vectors)
    best = np.array(warm.class_names)[named.probabilities.argmax(axis=1)]
    # Instances that are no particle count as named wrongly: pick cannot know them.
    return warm.with_threshold(choose_threshold(named.confidence, best == found.names, ACCURACY))


def _right(classifier: NamingClassifier, particles: Embedded) -> float:
    """Return the share of particles that have a name whose likeliest name is theirs."""
    named = particles.select(particles.names != "")
    best = np.array(classifier.class_names)[classifier.class_scores(named.vectors).argmax(axis=1)]
    return float((best == named.names).mean())


def measure(classifier: NamingClassifier, particles: Embedded) -> dict[str, float]:
    """Measure a classifier on particles it knows nothing of.

    Returns
    -------
    dict
        ``top1_accuracy``: share of true particles whose likeliest name is right, those of unknown species counted as
        wrong; ``mean_f1``: F1 of that name over the species there are; ``calibration_error``: expected calibration
        error of its probability; ``share_named``: share of all instances that get a name, and ``accuracy_of_named``:
        share of these names that are right, instances that are no particle counted as wrong.
    """
    names = particles.names
    result = classifier.classify(particles.vectors)
    best = np.array(classifier.class_names)[result.probabilities.argmax(axis=1)]
    true = names != ""
    every = np.unique(np.concatenate([best[true], names[true]]))
    f1 = f1_per_class(np.searchsorted(every, best[true]), np.searchsorted(every, names[true]), len(every))
    given = result.confidence >= classifier.threshold
    return {
        "top1_accuracy": float((best == names)[true].mean()),
        "mean_f1": float(f1[np.isin(every, names[true])].mean()),
        "calibration_error": reliability(result.confidence[true], (best == names)[true]).expected_calibration_error,
        "share_named": float(given.mean()),
        "accuracy_of_named": float((best == names)[given].mean()) if given.any() else 0.0,
    }


def _embedded(network: SubtomogramNetwork, particles: Particles) -> Embedded:
    from cryosiam.training.embedding import embed

    return Embedded(embed(network, particles), np.array(particles.names, dtype=str))
