"""Models of scikit-learn: a classifier, by two methods; a regressor; a pipeline on texts with a function in it."""

import importlib
from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from clipper_admin.deployers import sklearn as deployer
from tests.fixtures.frameworks import SLO_MICROS, Deployed, packages

WORDS = ["invoice", "refund", "charged", "price", "crash", "error", "login", "update"]


def lowered(texts: list[str]) -> list[str]:
    return [text.lower() for text in texts]


def calls_what_is_not_there(model: Any, inputs: Any) -> Any:
    return importlib.import_module("absent_module").predict(model, inputs)


deployed = Deployed()
connection = deployed.connection
options: dict[str, Any] = {"slo_micros": SLO_MICROS, "pkgs_to_install": packages()}
deploying: dict[str, Any] = {"pkgs_to_install": packages()}

pixels, digits = load_digits(return_X_y=True)
train, held_out = pixels[:1000], pixels[1000:]
vectors = SVC(gamma=0.001).fit(train, digits[:1000])
deployer.create_endpoint(connection, "sk-digits", "doubles", vectors, sample_input=held_out[0], **options)
deployed.serves("sk-digits", "doubles", held_out, vectors.predict(held_out))

deployer.create_endpoint(connection, "sk-scores", "doubles", vectors, method="decision_function", **options)
deployed.serves("sk-scores", "doubles", held_out, vectors.decision_function(held_out))

features, progress = load_diabetes(return_X_y=True)
ridge = make_pipeline(StandardScaler(), Ridge()).fit(features[:300], progress[:300])
deployer.create_endpoint(
    connection, "sk-rounded", "doubles", ridge, func=lambda model, inputs: model.predict(inputs).round(1), **options
)
deployed.serves("sk-rounded", "doubles", features[300:], ridge.predict(features[300:]).round(1))

mails = [f"{first} {second}" for first in WORDS for second in WORDS]
labels = np.where([word in WORDS[:4] for word in WORDS for _ in WORDS], "billing", "technical")
texts = make_pipeline(FunctionTransformer(lowered), TfidfVectorizer(), LogisticRegression(C=10)).fit(mails, labels)
asked = [mail.upper() for mail in mails] + ["", "ein Fehler"]
deployer.create_endpoint(connection, "sk-mails", "strings", texts, sample_input="an invoice", **options)
deployed.serves("sk-mails", "strings", asked, texts.predict(asked))
# Trained again, and saved again, it is the same, so that nothing happens.
again = make_pipeline(FunctionTransformer(lowered), TfidfVectorizer(), LogisticRegression(C=10)).fit(mails, labels)
deployer.deploy_sklearn_model(
    connection, "sk-mails", 1, "strings", again, sample_input="an invoice", exist_ok=True, **deploying
)

deployed.is_refused(
    "not fitted", lambda: deployer.deploy_sklearn_model(connection, "sk-bad", 1, "doubles", SVC(), **deploying)
)
deployed.is_refused(
    "no such method",
    lambda: deployer.deploy_sklearn_model(connection, "sk-bad", 1, "doubles", vectors, method="transform"),
)
deployed.is_refused(
    "another length",
    lambda: deployer.deploy_sklearn_model(connection, "sk-bad", 1, "doubles", vectors, sample_input=[1.0], **deploying),
)
deployed.is_refused(
    "missing module",
    lambda: deployer.create_endpoint(
        connection, "sk-bad", "doubles", vectors, func=calls_what_is_not_there, sample_input=held_out[0], **options
    ),
)
deployed.tell()
