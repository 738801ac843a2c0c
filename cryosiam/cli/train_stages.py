"""The stages of training: what each learns by, what it starts from, and the function that runs it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryosiam.errors import WeightsError
from cryosiam.files import write_text_whole
from cryosiam.weights import Task, weights_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryosiam.cli.train_session import Session
    from cryosiam.training.heads import Heads
    from cryosiam.training.refine import Refining
    from cryosiam.weights import WeightsCard

ALL = ("dense", "refine", "rebalance", "broaden", "pretrain-subtomogram", "contrastive", "classifier")
"""The stages that made the weights that ship, in order."""


HEADS: tuple[Heads, ...] = ("denoise", "lamella", "semantic", "instance")
"""Stages that train the heads of one task."""


@dataclass(frozen=True)
class Stage:
    """A stage.

    Parameters
    ----------
    run
        Trains; gives the card of the weights, or None where the time ran out.
    optimiser
        Entry of the recipe that is this stage's own, if there is one.
    makes
        Kind of weights it makes.
    reads
        Kinds of weights it starts from, or finds particles with.
    """

    run: Callable[[Session], WeightsCard | None]
    optimiser: str | None
    makes: Task
    reads: tuple[Task, ...] = ()


def _pretrain_dense(session: Session) -> WeightsCard | None:
    from cryosiam.training.dense_pretraining import pretrain_dense

    return pretrain_dense(session.recipe, session.source, session.out, session.limits, session.report)


def _dense(session: Session) -> WeightsCard | None:
    from cryosiam.training.dense import train_dense

    return train_dense(
        session.recipe,
        session.source,
        session.validation,
        session.out,
        session.limits,
        session.report,
        start=session.start("dense"),
    )


def _refining(stage: Refining) -> Callable[[Session], WeightsCard | None]:
    def run(session: Session) -> WeightsCard | None:
        from cryosiam.training.refine import refine, refine_recipe, with_specimens

        # Before specimens are built, which takes long.
        how = refine_recipe(session.recipe, stage)
        start = session.start(stage)
        if start is None:
            raise WeightsError(
                f"{stage} starts from dense weights, and {session.weights} holds none; run 'cryosiam train dense' "
                "first, or name some with --from"
            )
        recipe = with_specimens(session.recipe, how)
        source, validation = session.specimens(recipe), session.validation
        kept = session.kept(stage, lambda: weights_folder(start))
        return refine(recipe, source, validation, session.out, session.limits, session.report, start=kept, stage=stage)

    return run


def _heads(task: Heads) -> Callable[[Session], WeightsCard | None]:
    def run(session: Session) -> WeightsCard | None:
        from cryosiam.training.heads import train_heads

        start = session.start(task)
        if start is None:
            raise WeightsError(
                f"{task} starts from weights, and {session.weights} holds none; run 'cryosiam train pretrain-dense' "
                "first, or name some with --from"
            )
        return train_heads(
            session.recipe,
            task,
            session.source,
            session.validation,
            session.out,
            session.limits,
            session.report,
            start=start,
            freeze_trunk=session.options.freeze_trunk,
            on_denoised=session.options.on_denoised,
        )

    return run


def _pretrain_subtomogram(session: Session) -> WeightsCard | None:
    from cryosiam.training.subtomogram_pretraining import pretrain_subtomogram

    return pretrain_subtomogram(session.recipe, session.particles, session.out, session.limits, session.report)


def _contrastive(session: Session) -> WeightsCard | None:
    from cryosiam.training.contrastive import contrastive
    from cryosiam.weights import load_subtomogram

    particles = session.particles
    start = load_subtomogram(session.kept("contrastive", session.with_subtomogram))
    return contrastive(
        session.recipe,
        particles,
        session.out,
        session.limits,
        session.report,
        start.network,
        before=start.card.training,
    )


def _classifier(session: Session) -> WeightsCard | None:
    from cryosiam.training.classifier import train_classifier

    session.with_subtomogram()
    card = train_classifier(session.particles, session.weights, session.report, session.strangers)
    write_text_whole(session.out / "classifier" / "figures.json", json.dumps(card.accuracy, indent=2) + "\n")
    return card


_TRUNKS = (Task.PRETRAINING, Task.DENSE)
_FINDERS = (Task.DENSE,)

STAGES: dict[str, Stage] = {
    "pretrain-dense": Stage(_pretrain_dense, "pretrain_dense", Task.PRETRAINING),
    "dense": Stage(_dense, "dense", Task.DENSE, _TRUNKS),
    "refine": Stage(_refining("refine"), "refine", Task.DENSE, _FINDERS),
    "rebalance": Stage(_refining("rebalance"), "rebalance", Task.DENSE, _FINDERS),
    "broaden": Stage(_refining("broaden"), "broaden", Task.DENSE, _FINDERS),
    **{task: Stage(_heads(task), "dense", Task.DENSE, _TRUNKS) for task in HEADS},
    "pretrain-subtomogram": Stage(_pretrain_subtomogram, "pretrain_subtomogram", Task.SUBTOMOGRAM, _FINDERS),
    "contrastive": Stage(_contrastive, "contrastive", Task.SUBTOMOGRAM, _FINDERS),
    "classifier": Stage(_classifier, None, Task.SUBTOMOGRAM, _FINDERS),
}
"""Every stage, by the name of its command."""
