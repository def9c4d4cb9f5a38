"""A model that MLflow has saved, of scikit-learn, with the packages that it names."""

import tempfile
from pathlib import Path
from typing import Any

import mlflow.sklearn
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from clipper_admin.deployers import mlflow as deployer
from tests.fixtures.frameworks import SLO_MICROS, Deployed, packages

deployed = Deployed()
connection = deployed.connection
options: dict[str, Any] = {"slo_micros": SLO_MICROS, "pkgs_to_install": packages()}

flowers, kinds = load_iris(return_X_y=True)
model = LogisticRegression(max_iter=500).fit(flowers[::2], kinds[::2])
with tempfile.TemporaryDirectory() as directory:
    saved = Path(directory) / "iris"
    mlflow.sklearn.save_model(model, saved)
    deployer.create_endpoint(connection, "mlflow-iris", "doubles", saved, sample_input=flowers[0], **options)
deployed.serves("mlflow-iris", "doubles", flowers[1::2], model.predict(flowers[1::2]))

deployed.is_refused("no model", lambda: deployer.deploy_mlflow_model(connection, "mlflow-bad", 1, "doubles", "absent"))
deployed.tell()
