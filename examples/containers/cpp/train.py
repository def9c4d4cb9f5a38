"""Fits a linear model to scikit-learn's diabetes data and writes its weights as the container reads them."""

import argparse
from pathlib import Path

from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression


def train(directory: Path) -> LinearRegression:
    """Writes weights.txt: one number a line, the intercept first."""
    inputs, targets = load_diabetes(return_X_y=True)
    model = LinearRegression().fit(inputs[:300], targets[:300])
    directory.mkdir(parents=True, exist_ok=True)
    weights = [model.intercept_, *model.coef_]
    (directory / "weights.txt").write_text("".join(f"{float(weight)!r}\n" for weight in weights))
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="the model's directory")
    train(parser.parse_args().directory)
