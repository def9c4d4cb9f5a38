"""Finds the centroids of scikit-learn's handwritten digits and writes them as the container reads them."""

import argparse
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.neighbors import NearestCentroid


def train(directory: Path) -> NearestCentroid:
    """Writes centroids.csv: a line for each digit, which is followed by its mean pixels."""
    pixels, digits = load_digits(return_X_y=True)
    model = NearestCentroid().fit(pixels[:1000], digits[:1000])
    directory.mkdir(parents=True, exist_ok=True)
    lines = (
        ",".join(map(str, (digit, *position)))
        for digit, position in zip(model.classes_.tolist(), model.centroids_.tolist(), strict=True)
    )
    (directory / "centroids.csv").write_text("\n".join(lines) + "\n")
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="the model's directory")
    train(parser.parse_args().directory)
