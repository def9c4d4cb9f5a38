"""Figures as small SVG files that come out the same for the same data."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_PANEL_INCHES = (5.2, 3.4)
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "clipper",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
}
# What the eye is to follow, and what it is compared with.
BOLD = 2.4
_MOST_POINTS = 250


@contextmanager
def figure(file: Path, panels: int = 1) -> Iterator[Sequence[Axes]]:
    """Panels beside each other to draw in; the file is written when the context ends well."""
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        width, height = _PANEL_INCHES
        drawn = Figure(figsize=(panels * width, height), layout="constrained")
        yield list(drawn.subplots(1, panels, squeeze=False)[0])
        drawn.savefig(file, format="svg", metadata={"Date": None})


def thinned(values: Sequence[float]) -> tuple[list[int], list[float]]:
    """So many of the values, at equal distances, that a line through them looks the same; and their places."""
    step = max(1, len(values) // _MOST_POINTS)
    places = list(range(step - 1, len(values), step))
    return places, [values[place] for place in places]
