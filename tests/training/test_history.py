"""Cards of weights that were trained on name all that they came from."""

from __future__ import annotations

from cryosiam.training.history import after
from cryosiam.weights import Training


def trained(stage: str, data: str, steps: int, hours: float) -> Training:
    return Training(recipe=stage, data=data, parameters={stage: {"steps": steps}}, hours=hours, machine="one")


def test_nothing_comes_before_the_first() -> None:
    first = trained("dense", "specimens", 5, 1.0)
    assert after(None, first) == first


def test_all_that_was_done_is_named_in_order() -> None:
    both = after(trained("dense", "specimens", 5, 1.0), trained("refine", "others", 7, 0.5))
    assert (both.recipe, both.data, both.hours) == ("dense; refine", "specimens; others", 1.5)
    assert both.parameters == {"dense": {"steps": 5}, "refine": {"steps": 7}}


def test_a_stage_that_was_run_again_does_not_hide_the_first() -> None:
    made = trained("contrastive", "these", 5, 1.0)
    for steps in (6, 7):
        made = after(made, trained("contrastive", "these", steps, 1.0))
    assert made.parameters == {
        "contrastive": {"steps": 5},
        "contrastive 2": {"steps": 6},
        "contrastive 3": {"steps": 7},
    }
    assert made.data == "these", "data seen before are named once"
