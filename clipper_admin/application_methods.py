"""What a connection can be asked about applications: registration, links, and what selection policies have learned."""

from collections.abc import Mapping
from typing import Any

from clipper_admin.applications import Applications
from clipper_admin.connected import needs_connection
from clipper_admin.logs import ClusterAdapter


class ApplicationMethods:
    """The part of ClipperConnection that concerns applications.

    Attributes:
        connected: whether there is a cluster behind the handle.
    """

    def __init__(self, applications: Applications, logger: ClusterAdapter) -> None:
        self.connected = False
        self._applications = applications
        self._logger = logger

    @needs_connection
    def register_application(
        self,
        name: str,
        input_type: str,
        default_output: str,
        slo_micros: int,
        *,
        priority: str = "normal",
        share: float = 1.0,
        use_cache: bool = True,
        cache_ttl_micros: int = 0,
        selection_policy: str = "single",
        policy_parameters: Mapping[str, float] | None = None,
        confidence_threshold: float = 0.0,
        loss: str = "zero_one",
        loss_scale: float = 1.0,
        feedback_window_s: int = 3_600,
        context_ttl_s: int = 2_592_000,
        combine: str = "vote",
        missing: str = "error",
        schema: Mapping[str, Any] | None = None,
    ) -> None:
        """Registers an application, which makes POST /{name}/predict and /{name}/update answer.

        Args:
            name: the application's name.
            input_type: "bytes", "integers", "floats", "doubles" or "strings".
            default_output: answered when there is no prediction in time.
            slo_micros: the latency objective in microseconds: every query is answered by then.
            priority: "high", "normal" or "low"; a model serves the applications of a higher priority first.
            share: above 0; its weight against the other applications of its priority that use the same model.
            use_cache: whether predictions are taken from the cache and kept there.
            cache_ttl_micros: the oldest cached prediction that it takes, in microseconds; 0: of any age.
            selection_policy: how it chooses among its models or combines them: "single" (the one linked model),
                "static", "epsilon_greedy", "ucb1", "thompson", "exp3", "exp4", "majority", "average", "linucb", the
                name of an installed entry point of the group "clipper.selection_policies", or "package.module:Class"
                under a prefix that the services' CLIPPER_POLICY_PREFIXES lists.
            policy_parameters: parameters of the policy by name; None: its defaults.
            confidence_threshold: below this confidence, 0 to 1, the answer is the default output; 0: never.
            loss: how wrong an output is, given a label: "zero_one", "squared" or "absolute".
            loss_scale: the error that counts as a loss of 1, for "squared" and "absolute".
            feedback_window_s: for how many seconds a prediction can be joined with its feedback.
            context_ttl_s: after how many seconds an untouched context is forgotten.
            combine: how outputs become one, where the policy asks several models: "vote" or "average".
            missing: what a missing value in JSON is, where a float or double belongs (null, NaN or "NaN", or a name
                that an object lacks): "error", which refuses the request, or "nan". Packed numbers may be NaN anyway.
            schema: what each input must be like; another one is refused with the reason instead of a default output.
                {"shape": [4]}: how many elements it has, in each dimension. {"names": ["age", "income"]}: what they are
                called, so that an input in JSON may be {"income": 1e4, "age": 40}. {"minimum": 0, "maximum": 255}: what
                no element is below, and above. {"ranges": {"age": {"minimum": 0}}}: the same of single elements.
                Numbers may have all of this, bytes a shape of one dimension, strings none. None: anything of the type.
        """
        self._applications.register(
            name,
            input_type,
            default_output,
            slo_micros,
            priority=priority,
            share=share,
            use_cache=use_cache,
            cache_ttl_micros=cache_ttl_micros,
            selection_policy=selection_policy,
            policy_parameters=dict(policy_parameters or {}),
            confidence_threshold=confidence_threshold,
            loss=loss,
            loss_scale=loss_scale,
            feedback_window_s=feedback_window_s,
            context_ttl_s=context_ttl_s,
            combine=combine,
            missing=missing,
            schema=dict(schema or {}),
        )

    @needs_connection
    def unregister_application(self, name: str) -> None:
        """Unregisters an application with its links and all that its selection policy has learned."""
        self._applications.unregister(name)

    @needs_connection
    def delete_application(self, name: str) -> None:
        """The old name of unregister_application."""
        self._logger.warning("delete_application is deprecated; use unregister_application")
        self._applications.unregister(name)

    @needs_connection
    def link_model_to_app(self, app_name: str, model_name: str) -> None:
        """Lets an application use the current version of a model.

        With the selection policy "single" an application has one model; with another, one call links one of up to 64.
        """
        self._applications.link(app_name, model_name)

    @needs_connection
    def unlink_model_from_app(self, app_name: str, model_name: str) -> None:
        """Has an application use a model no longer; its queries get the default output unless it has another."""
        self._applications.unlink(app_name, model_name)

    @needs_connection
    def get_all_apps(self, verbose: bool = False) -> list[Any]:
        """All applications: names or, if `verbose`, dictionaries as from get_app_info."""
        return self._applications.all(verbose)

    @needs_connection
    def get_app_info(self, name: str) -> dict[str, Any] | None:
        """What register_application was told, slo_micros as latency_slo_micros, and linked_models; None if unknown."""
        return self._applications.describe(name)

    @needs_connection
    def get_linked_models(self, app_name: str) -> list[str]:
        """The names of the models that an application is linked to."""
        return self._applications.linked_models(app_name)

    @needs_connection
    def get_selection_state(self, app_name: str, context: str | int = "") -> dict[str, Any]:
        """What an application's selection policy has learned in a context; "": for requests without one.

        Returns:
            "selection_policy", "arms" (the linked models) and "state", numbers by names of the policy's own; {} while
            nothing was learned.
        """
        return self._applications.selection_state(app_name, str(context))

    @needs_connection
    def delete_selection_state(self, app_name: str, context: str | int = "") -> None:
        """Forgets what was learned in a context; what comes next begins afresh."""
        self._applications.delete_selection_state(app_name, str(context))

    @needs_connection
    def get_selection_events(self, app_name: str, after: str = "", count: int = 1_000) -> dict[str, Any]:
        """A page of the log of an application's predictions and feedback, oldest first; the log is bounded.

        Args:
            app_name: the application's name.
            after: "next" of the page before; "": begins with the oldest that is kept.
            count: the most events to return, 1 to 1000.

        Returns:
            "events", dictionaries, and "next". No events: there are no more yet. What to do with them, and how to read
            all of them: clipper_admin.replay.
        """
        return self._applications.selection_events(app_name, after, count)
