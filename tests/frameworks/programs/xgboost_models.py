"""Models of XGBoost: a booster, and a classifier by its probabilities."""

from typing import Any

import xgboost
from sklearn.datasets import load_breast_cancer

from clipper_admin.deployers import xgboost as deployer
from tests.fixtures.frameworks import SLO_MICROS, Deployed, packages

deployed = Deployed()
connection = deployed.connection
options: dict[str, Any] = {"slo_micros": SLO_MICROS, "pkgs_to_install": packages()}

features, benign = load_breast_cancer(return_X_y=True)
names = [f"f{number}" for number in range(features.shape[1])]
train, held_out = features[:400], features[400:]
trained = xgboost.DMatrix(train, benign[:400], feature_names=names)
booster = xgboost.train({"objective": "binary:logistic", "max_depth": 3}, trained, 30)
deployer.create_endpoint(connection, "xgb-booster", "floats", booster, sample_input=held_out[0], **options)
deployed.serves("xgb-booster", "floats", held_out, booster.predict(xgboost.DMatrix(held_out, feature_names=names)))

classifier = xgboost.XGBClassifier(n_estimators=30, max_depth=3).fit(train, benign[:400])
deployer.create_endpoint(
    connection, "xgb-classifier", "floats", classifier, method="predict_proba", check=False, **options
)
deployed.serves("xgb-classifier", "floats", held_out, classifier.predict_proba(held_out))

deployed.is_refused("no model", lambda: deployer.deploy_xgboost_model(connection, "xgb-bad", 1, "floats", trained))
deployed.is_refused(
    "not fitted",
    lambda: deployer.deploy_xgboost_model(
        connection, "xgb-bad", 1, "floats", xgboost.XGBRegressor(), pkgs_to_install=packages()
    ),
)
deployed.tell()
