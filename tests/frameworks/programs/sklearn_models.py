"""Models of scikit-learn: a classifier with a function for its answers, and a pipeline on texts with a function in it.

What it costs to load them counts here, so that each is loaded as often as it has to be, and no more.
"""

import importlib
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from clipper_admin.deployers import sklearn as deployer
from tests.fixtures.frameworks import SLO_MICROS, Deployed, packages

WORDS = ["invoice", "refund", "charged", "price", "crash", "error", "login", "update"]


def lowered(texts: list[str]) -> list[str]:
    return [text.lower() for text in texts]


def said(model: Any, inputs: Any) -> list[str]:
    return [f"it is a {digit}" for digit in model.predict(inputs)]


def calls_what_is_not_there(model: Any, inputs: Any) -> Any:
    return importlib.import_module("absent_module").predict(model, inputs)


deployed = Deployed()
connection = deployed.connection
options: dict[str, Any] = {"slo_micros": SLO_MICROS, "pkgs_to_install": packages(), "check": False}
deploying: dict[str, Any] = {"pkgs_to_install": packages()}

pixels, digits = load_digits(return_X_y=True)
train, held_out = pixels[:1000], pixels[1000:]
vectors = SVC(gamma=0.001).fit(train, digits[:1000])
deployer.create_endpoint(connection, "sk-digits", "doubles", vectors, func=said, sample_input=held_out[0], **options)
deployed.serves("sk-digits", "doubles", held_out, said(vectors, held_out))

mails = [f"{first} {second}" for first in WORDS for second in WORDS]
labels = np.where([word in WORDS[:4] for word in WORDS for _ in WORDS], "billing", "technical")
texts = make_pipeline(FunctionTransformer(lowered), TfidfVectorizer(), LogisticRegression(C=10)).fit(mails, labels)
asked = [mail.upper() for mail in mails] + ["", "ein Fehler"]
deployer.create_endpoint(connection, "sk-mails", "strings", texts, method="predict_proba", **options)
deployed.serves("sk-mails", "strings", asked, texts.predict_proba(asked))
# Trained again, and saved again, it is the same, so that nothing happens.
again = make_pipeline(FunctionTransformer(lowered), TfidfVectorizer(), LogisticRegression(C=10)).fit(mails, labels)
deployer.deploy_sklearn_model(
    connection, "sk-mails", 1, "strings", again, method="predict_proba", exist_ok=True, **deploying
)

deployed.is_refused(
    "not fitted", lambda: deployer.deploy_sklearn_model(connection, "sk-bad", 1, "doubles", SVC(), **deploying)
)
deployed.is_refused(
    "no such method",
    lambda: deployer.deploy_sklearn_model(connection, "sk-bad", 1, "doubles", vectors, method="transform"),
)
deployed.is_refused(
    "missing module",
    lambda: deployer.create_endpoint(
        connection,
        "sk-bad",
        "doubles",
        vectors,
        func=calls_what_is_not_there,
        sample_input=held_out[0],
        **{**options, "check": True},
    ),
)
deployed.tell()
