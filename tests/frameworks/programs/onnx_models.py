"""ONNX models: a classifier by each of its outputs, one that takes texts, and one with an input for each column."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, StringTensorType
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from clipper_admin.deployers import onnx as deployer
from tests.fixtures.frameworks import SLO_MICROS, Deployed, packages

deployed = Deployed()
connection = deployed.connection
options: dict[str, Any] = {"slo_micros": SLO_MICROS, "pkgs_to_install": packages()}

pixels, digits = load_digits(return_X_y=True)
train, held_out = pixels[:1000].astype(np.float32), pixels[1000:].astype(np.float32)
classifier = MLPClassifier((32,), max_iter=100, random_state=0).fit(train, digits[:1000])
model = to_onnx(classifier, train[:1], options={"zipmap": False})
deployer.create_endpoint(connection, "onnx-digits", "floats", model, sample_input=held_out[0], **options)
deployed.serves("onnx-digits", "floats", held_out, classifier.predict(held_out))

with tempfile.TemporaryDirectory() as directory:
    file = Path(directory) / "digits.onnx"
    file.write_bytes(model.SerializeToString())
    deployer.create_endpoint(connection, "onnx-probabilities", "doubles", file, output="probabilities", **options)
    damaged = file.read_bytes()[: file.stat().st_size // 2]
deployed.serves("onnx-probabilities", "doubles", held_out, classifier.predict_proba(held_out))

colours = ["red", "green", "blue", "grün"]
encoder = OrdinalEncoder().fit([[colour] for colour in colours])
encoding = to_onnx(encoder, initial_types=[("colour", StringTensorType([None, 1]))])
asked = colours * 5
deployer.create_endpoint(connection, "onnx-colours", "strings", encoding, sample_input="red", **options)
deployed.serves("onnx-colours", "strings", asked, encoder.transform([[colour] for colour in asked]))

rows, progress = load_diabetes(return_X_y=True)
rows = rows[:, :2]
scaled = make_column_transformer((StandardScaler(), [0]), (StandardScaler(), [1]))
ridge = make_pipeline(scaled, Ridge()).fit(rows[:300], progress[:300])
columns = [("age", DoubleTensorType([None, 1])), ("sex", DoubleTensorType([None, 1]))]
by_column = to_onnx(ridge, initial_types=columns)
person = {"sex": rows[0, 1], "age": rows[0, 0]}
deployer.create_endpoint(
    connection, "onnx-columns", "doubles", by_column, input_names=["age", "sex"], sample_input=person, **options
)
deployed.serves("onnx-columns", "doubles", rows[300:], ridge.predict(rows[300:])[:, None])

deployed.is_refused(
    "damaged",
    lambda: deployer.deploy_onnx_model(connection, "onnx-bad", 1, "floats", damaged, pkgs_to_install=packages()),
)
deployed.is_refused(
    "no such output",
    lambda: deployer.create_endpoint(
        connection, "onnx-bad", "floats", model, output="loss", sample_input=held_out[0], **options
    ),
)
deployed.is_refused(
    "no such file", lambda: deployer.deploy_onnx_model(connection, "onnx-bad", 1, "floats", "nowhere.onnx")
)
deployed.is_refused("no model", lambda: deployer.deploy_onnx_model(connection, "onnx-bad", 1, "floats", classifier))
deployed.tell()
