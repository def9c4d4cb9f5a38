"""Finds the centroids of scikit-learn's iris flowers and writes them as the container reads them."""

import argparse
from pathlib import Path

from sklearn.datasets import load_iris
from sklearn.neighbors import NearestCentroid


def train(directory: Path) -> NearestCentroid:
    """Writes centroids.csv: a line for each kind of flower, its name and its mean measures, from every other flower."""
    flowers = load_iris()
    model = NearestCentroid().fit(flowers.data[::2], flowers.target_names[flowers.target[::2]])
    directory.mkdir(parents=True, exist_ok=True)
    lines = (
        ",".join(map(str, (kind, *position)))
        for kind, position in zip(model.classes_.tolist(), model.centroids_.tolist(), strict=True)
    )
    (directory / "centroids.csv").write_text("\n".join(lines) + "\n")
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="the model's directory")
    train(parser.parse_args().directory)
