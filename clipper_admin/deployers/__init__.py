"""Deploy what is in this interpreter: one module for each kind of model."""

from clipper_admin.deployers import python

__all__ = ["python"]
