"""Deploy what is in this interpreter: one module for each kind of model.

`python` deploys functions; the others what a framework has trained. They import that when they deploy, not before.
"""

from clipper_admin.deployers import lightgbm, onnx, python, pytorch, sklearn, xgboost

__all__ = ["lightgbm", "onnx", "python", "pytorch", "sklearn", "xgboost"]
