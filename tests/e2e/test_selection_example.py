"""The example of several models behind one application, on a running cluster."""

import io
import re
from contextlib import redirect_stdout

import pytest

from clipper_admin import ClipperConnection
from examples import selection

# The first one waits for the models' environment, too, unless another test did.
pytestmark = pytest.mark.timeout(300)

_MODELS = {"naive-bayes", "shallow-tree", "support-vectors"}


@pytest.fixture(scope="module")
def printed(cluster: ClipperConnection) -> str:
    """What the example prints, on a cluster where another run of it was cut off."""
    cluster.register_application(selection.APPLICATION, "doubles", "-1", 100_000)
    cluster.register_model("naive-bayes", 1, "doubles")
    with redirect_stdout(io.StringIO()) as output:
        selection.main(cluster.cm.cluster_identifier)
    return output.getvalue()


def weights(printed: str, queries: int) -> dict[str, int]:
    """The models' weights after so many queries, in percent."""
    (line,) = re.findall(rf"^after +{queries} queries .*$", printed, re.MULTILINE)
    return {model: int(percent) for model, percent in re.findall(r"([a-z-]+) +(\d+)%", line)}


def error(printed: str, model: str) -> float:
    """How often a model alone is wrong, from 0 to 1."""
    (percent,) = re.findall(rf"{model} alone: ([\d.]+)% wrong", printed)
    return float(percent) / 100


def test_equal_weights_move_to_the_best_model(printed: str) -> None:
    assert weights(printed, 0) == dict.fromkeys(_MODELS, 33)
    # Whom it asks is chance. It mostly comes to 98%, to less than 80% once in a thousand times.
    assert weights(printed, selection.QUERIES)["support-vectors"] > 50


def test_fewer_answers_are_wrong_than_with_any_but_the_best_model(printed: str) -> None:
    wrong = int(re.findall(r"(\d+) answers wrong", printed)[-1])

    assert wrong / selection.QUERIES < min(error(printed, "naive-bayes"), error(printed, "shallow-tree"))


def test_it_takes_away_what_it_has_added(cluster: ClipperConnection, printed: str) -> None:
    assert printed
    assert selection.APPLICATION not in cluster.get_all_apps()
    assert _MODELS.isdisjoint(key.split(":")[0] for key in cluster.get_all_models())
