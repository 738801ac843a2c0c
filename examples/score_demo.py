"""Compare the picks of a copick project with its ground truth, and print the table.

    python examples/score_demo.py demo/project.json

A pick hits a particle when it is nearer to its centre than half the radius of its class. The first row takes all
species together, whatever the picks are named; the other rows count a pick only for the class it is named.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cryosiam.domain import Picks
from cryosiam.evaluation import DetectionScore, average_precision, hits, score_picks

FRACTION_OF_RADIUS = 0.5


def read_picks(run: Any, user: str, session: str | None) -> Picks:
    """Return all picks that one user made in a run, whatever their class."""
    sets = run.get_picks(user_id=user) if session is None else run.get_picks(user_id=user, session_id=session)
    positions, scores, names = [np.zeros((0, 3))], [np.zeros(0)], []
    for picks in sets:
        centres, _ = picks.numpy()
        if not len(centres):
            continue
        positions.append(np.asarray(centres, np.float64))
        given = picks.scores()
        scores.append(np.ones(len(centres)) if given is None else np.asarray(given, np.float64))
        names += [picks.pickable_object_name] * len(centres)
    return Picks(run.name, np.concatenate(positions), np.concatenate(scores), tuple(names))


def row(name: str, score: DetectionScore) -> str:
    """Return one line of the table."""
    shares = "".join(f"{'-' if math.isnan(v) else f'{v:.3f}':>11}" for v in (score.precision, score.recall, score.f1))
    return f"{name:<24}{score.truth:>7}{score.picked:>8}{score.matched:>7}{shares}"


def main() -> int:
    """Print the table for the project that the options name."""
    parser = argparse.ArgumentParser(description="Compare picks with the ground truth of a copick project.")
    parser.add_argument("project", type=Path, nargs="?", default=Path("demo/project.json"))
    parser.add_argument("--user-id", default="cryosiam", help="who made the picks (default: cryosiam)")
    parser.add_argument("--session-id", default=None, help="session of the picks (default: all)")
    parser.add_argument("--truth-user-id", default="truth", help="who made the truth (default: truth)")
    parser.add_argument("--out", type=Path, default=None, help="folder of the results, to be named below the table")
    options = parser.parse_args()
    if not options.project.is_file():
        print(f"there is no project file {options.project}; make it with examples/make_demo_project.py")
        return 1

    import copick

    project = copick.from_file(str(options.project))
    radii = {o.name: float(o.radius) for o in project.pickable_objects if o.is_particle and o.radius}
    overall, by_class = DetectionScore(0, 0, 0), dict[str, DetectionScore]()
    scores, hit = [], []
    for run in project.runs:
        truth = read_picks(run, options.truth_user_id, None)
        found = read_picks(run, options.user_id, options.session_id)
        run_overall, run_classes = score_picks(found, truth, radii, FRACTION_OF_RADIUS)
        overall += run_overall
        for name, score in run_classes.items():
            by_class[name] = by_class.get(name, DetectionScore(0, 0, 0)) + score
        scores.append(found.scores)
        hit.append(hits(found, truth, radii, FRACTION_OF_RADIUS))
    if not overall.picked:
        print(f"{options.project} holds no picks of user {options.user_id}; run 'cryosiam pick' first")
        return 1

    print(f"{'':<24}{'truth':>7}{'picked':>8}{'found':>7}{'precision':>11}{'recall':>11}{'F1':>11}")
    print(row("all species together", overall))
    for name, score in by_class.items():
        print(row(name, score))
    area = average_precision(np.concatenate(scores), np.concatenate(hit), overall.truth)
    print(f"\naverage precision of the scores, all species together: {area:.3f}")
    print(f"a hit is nearer than {FRACTION_OF_RADIUS:g} of the particle's radius; {len(project.runs)} runs")
    print(f"picks and segmentations: {project.config.overlay_root.removeprefix('local://')}")
    if options.out is not None:
        print(f"STAR files, pictures and the manifest: {options.out.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
