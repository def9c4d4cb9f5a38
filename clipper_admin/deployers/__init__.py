"""Deploy what is in this interpreter: one module for each kind of model.

`python` deploys functions; the others what a framework has trained. They import that when they deploy, not before.
"""

from clipper_admin.deployers import keras, lightgbm, mlflow, onnx, python, pytorch, sklearn, tensorflow, xgboost

__all__ = ["keras", "lightgbm", "mlflow", "onnx", "python", "pytorch", "sklearn", "tensorflow", "xgboost"]
