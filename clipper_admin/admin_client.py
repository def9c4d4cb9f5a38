"""The admin REST from the client's side: a JSON body to a path, text or JSON back."""

from collections.abc import Callable, Mapping
from typing import Any

import requests

from clipper_admin import direct
from clipper_admin.exceptions import ClipperException

_TIMEOUT_S = 60.0


class AdminClient:
    """Posts to the admin REST of the cluster that `locate` finds."""

    def __init__(self, locate: Callable[[], str]) -> None:
        """Takes how the admin REST is found.

        Args:
            locate: returns its host:port; asked for each request, because clusters come and go.
        """
        self._locate = locate

    def post(self, operation: str, body: Mapping[str, Any]) -> Any:
        """Posts to /admin/{operation}.

        Returns:
            The JSON in the response; None when it is a plain sentence.

        Raises:
            ClipperException: the cluster refused.
            requests.RequestException: it did not answer.
        """
        response = direct.post(f"http://{self._locate()}/admin/{operation}", body, _TIMEOUT_S)
        if response.status_code != requests.codes.ok:
            raise ClipperException(f"Received error status code: {response.status_code} and message: {response.text}")
        try:
            return response.json()
        except requests.JSONDecodeError:
            return None
