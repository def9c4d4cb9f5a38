"""Models of LightGBM: a booster, classifiers of two and of three classes, and a regressor."""

from typing import Any

import lightgbm
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from clipper_admin.deployers import lightgbm as deployer
from tests.fixtures.frameworks import SLO_MICROS, Deployed, packages

deployed = Deployed()
connection = deployed.connection
options: dict[str, Any] = {"slo_micros": SLO_MICROS, "pkgs_to_install": packages()}
small = {"n_estimators": 30, "verbose": -1}

features, benign = load_breast_cancer(return_X_y=True)
train, held_out = features[:400], features[400:]
booster = lightgbm.train(
    {"objective": "binary", "verbose": -1}, lightgbm.Dataset(train, benign[:400]), num_boost_round=30
)
deployer.create_endpoint(connection, "lgb-booster", "doubles", booster, sample_input=held_out[0], **options)
deployed.serves("lgb-booster", "doubles", held_out, booster.predict(held_out))

two = lightgbm.LGBMClassifier(**small).fit(train, np.where(benign[:400] == 1, "benign", "malignant"))
deployer.create_endpoint(connection, "lgb-two", "doubles", two, **options)
deployed.serves("lgb-two", "doubles", held_out, two.predict(held_out))
deployer.create_endpoint(connection, "lgb-two-probabilities", "doubles", two, method="predict_proba", **options)
deployed.serves("lgb-two-probabilities", "doubles", held_out, two.predict_proba(held_out))

flowers, kinds = load_iris(return_X_y=True)
three = lightgbm.LGBMClassifier(**small).fit(flowers[::2], kinds[::2])
deployer.create_endpoint(connection, "lgb-three", "doubles", three, **options)
deployed.serves("lgb-three", "doubles", flowers[1::2], three.predict(flowers[1::2]))
deployer.create_endpoint(connection, "lgb-three-probabilities", "doubles", three, method="predict_proba", **options)
deployed.serves("lgb-three-probabilities", "doubles", flowers[1::2], three.predict_proba(flowers[1::2]))

rows, progress = load_diabetes(return_X_y=True)
regressor = lightgbm.LGBMRegressor(**small).fit(rows[:300], progress[:300])
deployer.create_endpoint(connection, "lgb-regressor", "doubles", regressor, **options)
deployed.serves("lgb-regressor", "doubles", rows[300:], regressor.predict(rows[300:]))

deployed.is_refused("no model", lambda: deployer.deploy_lightgbm_model(connection, "lgb-bad", 1, "doubles", train))
deployed.is_refused(
    "not fitted",
    lambda: deployer.deploy_lightgbm_model(connection, "lgb-bad", 1, "doubles", lightgbm.LGBMClassifier()),
)
deployed.is_refused(
    "no such method",
    lambda: deployer.deploy_lightgbm_model(connection, "lgb-bad", 1, "doubles", regressor, method="predict_proba"),
)
deployed.is_refused(
    "another length",
    lambda: deployer.deploy_lightgbm_model(
        connection, "lgb-bad", 1, "doubles", booster, sample_input=[1.0], pkgs_to_install=packages()
    ),
)
deployed.tell()
