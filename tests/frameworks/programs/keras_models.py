"""Models of Keras: with a layer of one's own, and from a file."""

import tempfile
from pathlib import Path
from typing import Any

import keras
from sklearn.datasets import load_digits

from clipper_admin.deployers import keras as deployer
from tests.fixtures.frameworks import SLO_MICROS, Deployed, packages


class Scale(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    def call(self, inputs: Any) -> Any:
        return inputs / 16.0


def most_probable(model: Any, inputs: Any) -> Any:
    return model.predict_on_batch(inputs).argmax(axis=1)


deployed = Deployed()
connection = deployed.connection
options: dict[str, Any] = {"slo_micros": SLO_MICROS, "pkgs_to_install": packages()}

pixels, digits = load_digits(return_X_y=True)
train, held_out = pixels[:1000].astype("float32"), pixels[1000:].astype("float32")
layers = [keras.layers.Dense(32, "relu"), keras.layers.Dropout(0.2), keras.layers.Dense(10, "softmax")]
own = keras.Sequential([keras.Input((64,)), Scale(), *layers])
own.compile("adam", "sparse_categorical_crossentropy")
own.fit(train, digits[:1000], epochs=5, verbose=0)
deployer.create_endpoint(connection, "keras-digits", "floats", most_probable, own, sample_input=held_out[0], **options)
deployed.serves("keras-digits", "floats", held_out, own.predict_on_batch(held_out).argmax(axis=1))

plain = keras.Sequential([keras.Input((64,)), *layers])
with tempfile.TemporaryDirectory() as directory:
    file = Path(directory) / "digits.keras"
    plain.save(file)
    deployer.create_endpoint(connection, "keras-file", "doubles", None, file, sample_input=held_out[0], **options)
    deployer.deploy_keras_model(
        connection,
        "keras-file",
        1,
        "doubles",
        None,
        file,
        sample_input=held_out[0],
        exist_ok=True,
        pkgs_to_install=packages(),
    )
    file.write_bytes(file.read_bytes()[:1000])
    deployed.is_refused(
        "damaged",
        lambda: deployer.deploy_keras_model(
            connection, "keras-bad", 1, "floats", None, file, pkgs_to_install=packages()
        ),
    )
deployed.serves("keras-file", "doubles", held_out, plain.predict_on_batch(held_out))

deployed.is_refused("no model", lambda: deployer.deploy_keras_model(connection, "keras-bad", 1, "floats", None, train))
deployed.is_refused(
    "no such file", lambda: deployer.deploy_keras_model(connection, "keras-bad", 1, "floats", None, "absent.keras")
)
deployed.tell()
