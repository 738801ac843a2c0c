"""What the forms of the Scipion plug-in begin with; it has no package of ours beside it to ask."""

import re
from pathlib import Path

from cryosiam.scores import LEAST_SCORE

PICK = Path(__file__).parents[3] / "integrations/scipion/cryosiam_scipion/protocols/protocol_pick.py"


def test_the_least_score_is_that_of_the_command() -> None:
    found = re.search(r'"threshold",\s*params\.FloatParam,\s*default=([\d.]+)', PICK.read_text())
    assert found is not None
    assert float(found[1]) == LEAST_SCORE
