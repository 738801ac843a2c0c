"""Whatever lies in a file, it gets a report or a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryosiam.errors import InputError
from cryosiam.integrations.star.check.finding import Program
from cryosiam.integrations.star.check.report import check_star

LABELS = ["rlnTomoName", "rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ", "rlnOpticsGroup"]
LABELS += [f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]
LABELS += ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnImagePixelSize", "rlnPixelSize"]
LABELS += ["rlnTomoTiltSeriesPixelSize", "rlnImageName", "rlnTomoParticleId", "rlnTomoParticlesFile", "rlnClassNumber"]
LABELS += ["rlnTomoTomogramsFile", "rlnTomoImportParticleFile", "rlnDetectorPixelSize", "rlnMagnification"]
CELLS = ["TS_1", "TS_1.tomostar", "1", "0", "-2.5", "1e9", "nan", "<NA>", "001", '"a b"', "'", "#", "particles.star"]
label = st.sampled_from(LABELS)
line = st.one_of(
    st.sampled_from(["", "loop_", "data_", "data_particles", "data_optics", "data_global", "data_general", "# x"]),
    st.builds("_{} #{}".format, label, st.integers(-1, 6)),
    st.builds("_{}#1".format, label),
    st.builds("_{} {}".format, label, st.sampled_from(CELLS)),
    st.lists(st.sampled_from(CELLS), min_size=1, max_size=5).map(" ".join),
)
table = st.builds(
    lambda name, labels, rows: (
        [f"data_{name}", "", "loop_", *(f"_{word}" for word in labels)] + [" ".join(row[: len(labels)]) for row in rows]
    ),
    st.sampled_from(["", "particles", "optics", "global"]),
    st.lists(label, min_size=1, max_size=6, unique=True),
    st.lists(st.lists(st.sampled_from(CELLS), min_size=6, max_size=6), max_size=4),
)
text = st.lists(st.one_of(line.map(lambda words: [words]), table), max_size=8).map(
    lambda parts: "\n".join(words for part in parts for words in part)
)


@pytest.mark.parametrize("program", Program)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=text)
def test_report_or_sentence(tmp_path: Path, program: Program, content: str) -> None:
    path = tmp_path / "particles.star"
    path.write_text(content)
    try:
        report = check_star(path, program, path)
    except InputError:
        report = None
    try:
        report = check_star(path, program)
    except InputError as error:
        sentence = str(error)
    else:
        sentence = "a report"
        assert report.as_json()["for"] == program.value
    assert sentence
