"""What is registered: applications, model versions, replicas, as immutable records in one `Configuration`.

Management decides changes on a Configuration, the store keeps it, query services follow it. It is pure data: a change
replaces one record, and a revision's changes applied to the configuration before it give the configuration after it.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from services.common.input_schema import InputSchema
from services.common.names import InputType


@dataclass(frozen=True, slots=True)
class Application:
    """A public endpoint.

    Attributes:
        name: the first segment of its REST path.
        input_type: what it accepts.
        default_output: answered when no prediction is to be had by the deadline.
        latency_slo_micros: the latency objective; above 0.
        linked_models: names of the models it may use.
        registration: the revision that registered it, so that a re-registered one is never taken for its predecessor.
        priority: one of names.PRIORITIES; a model serves the applications of a higher one first.
        share: weight against the other applications of its priority that use the same model; 0.001 to 1000.
        use_cache: whether predictions are taken from the cache and kept there.
        cache_ttl_micros: the oldest cached prediction that it takes; 0: of any age.
        selection_policy: one of policies.BUILT_IN, an entry point's name, or "package.module:Class".
        policy_parameters: parameters of the policy, sorted by name; the policy has defaults for the others.
        confidence_threshold: below it the answer is the default output; 0 to 1.
        loss: one of names.LOSSES; how wrong an output is.
        loss_scale: the error that counts as a loss of 1, for all losses but "zero_one"; above 0.
        feedback_window_s: how long a prediction can be joined with its feedback; above 0.
        context_ttl_s: a context untouched for as long is forgotten; above 0.
        combine: one of names.COMBINATIONS; how outputs become one where the policy asks several models.
        missing: one of names.MISSING; what JSON's null and NaN are where a float or double belongs.
        schema: what an input must be like; None: of the type and nothing else.
    """

    name: str
    input_type: InputType
    default_output: str
    latency_slo_micros: int
    linked_models: tuple[str, ...] = ()
    registration: int = 0
    priority: str = "normal"
    share: float = 1.0
    use_cache: bool = True
    cache_ttl_micros: int = 0
    selection_policy: str = "single"
    policy_parameters: tuple[tuple[str, float], ...] = ()
    confidence_threshold: float = 0.0
    loss: str = "zero_one"
    loss_scale: float = 1.0
    feedback_window_s: int = 3_600
    context_ttl_s: int = 2_592_000
    combine: str = "vote"
    missing: str = "error"
    schema: InputSchema | None = None

    @property
    def key(self) -> str:
        """Where it stands among the applications."""
        return self.name

    @property
    def input_names(self) -> tuple[str, ...]:
        """What its schema calls the elements of an input, in order; empty: nothing."""
        return () if self.schema is None else self.schema.names


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """An immutable deployed artefact of a model.

    Attributes:
        model_name: the model's name.
        model_version: unique within the model; not ordered.
        input_type: what the model takes.
        labels: free words.
        container_name: the image or environment of its replicas.
        model_data_path: where the model's files lie, for people.
        batch_size: the largest batch, or ADAPTIVE_BATCH_SIZE.
        registration: as for applications.
        batching_policy: one of names.BATCHING_POLICIES; empty: "fixed" for a batch size above 0, else "adaptive".
        batch_delay_micros: how long the first query of a batch may wait for others.
        input_names: what the elements of its inputs are called, in order; empty: it takes them without names.
    """

    model_name: str
    model_version: str
    input_type: InputType
    labels: tuple[str, ...] = ()
    container_name: str = ""
    model_data_path: str = ""
    batch_size: int = -1
    registration: int = 0
    batching_policy: str = ""
    batch_delay_micros: int = 0
    input_names: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Where it stands among the model versions."""
        return version_key(self.model_name, self.model_version)

    def names_inputs_like(self, application: Application) -> bool:
        """Whether it calls the elements of inputs as an application does, in the same order, or one has no names."""
        named = application.input_names and self.input_names
        return not named or application.input_names == self.input_names


@dataclass(frozen=True, slots=True)
class CurrentVersion:
    """Which version of a model linked applications use."""

    model_name: str
    model_version: str

    @property
    def key(self) -> str:
        """Where it stands among the current versions."""
        return self.model_name


@dataclass(frozen=True, slots=True)
class Replica:
    """One running container of a version, for as long as it holds its lease.

    Attributes:
        model_name: the model's name.
        model_version: the version.
        replica_id: counted from 0 for each version, never used again.
        input_type: what it takes.
        address: host:port at which query services reach it.
    """

    model_name: str
    model_version: str
    replica_id: int
    input_type: InputType
    address: str

    @property
    def key(self) -> str:
        """Where it stands among the replicas."""
        return f"{self.version_key}:{self.replica_id}"

    @property
    def version_key(self) -> str:
        """The key of its model version."""
        return version_key(self.model_name, self.model_version)


Record = Application | ModelVersion | CurrentVersion | Replica


def version_key(model_name: str, model_version: str) -> str:
    """The key of a model version, which is also how people write it: "name:version"."""
    return f"{model_name}:{model_version}"


class Kind(StrEnum):
    """The kinds of records."""

    APPLICATION = "applications"
    MODEL_VERSION = "model_versions"
    CURRENT_VERSION = "current_versions"
    REPLICA = "replicas"


CLASSES: Mapping[Kind, type[Record]] = {
    Kind.APPLICATION: Application,
    Kind.MODEL_VERSION: ModelVersion,
    Kind.CURRENT_VERSION: CurrentVersion,
    Kind.REPLICA: Replica,
}
"""The class of each kind's records."""

_KINDS = {record_class: kind for kind, record_class in CLASSES.items()}


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands in the store in the place of a record, and is none that this service can read.

    Attributes:
        why: that.
    """

    why: str


@dataclass(frozen=True, slots=True)
class Change:
    """One record put in place of the one with its key, or deleted.

    Attributes:
        kind: the kind of record.
        key: its key.
        record: the new record; None deletes.
    """

    kind: Kind
    key: str
    record: Record | Unreadable | None

    @classmethod
    def put(cls, record: Record) -> Self:
        """A change that adds or replaces `record`."""
        return cls(_KINDS[type(record)], record.key, record)

    @classmethod
    def delete(cls, record: Record) -> Self:
        """A change that deletes `record`."""
        return cls(_KINDS[type(record)], record.key, None)


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything registered as of one revision. The mappings go from key to record and are never written to.

    What cannot be read is left out of them, as if it were not registered, and told in `unreadable`: why, by kind and
    key. It is in nobody's way, and whoever writes or deletes its key ends it.
    """

    revision: int = 0
    applications: Mapping[str, Application] = field(default_factory=dict)
    model_versions: Mapping[str, ModelVersion] = field(default_factory=dict)
    current_versions: Mapping[str, CurrentVersion] = field(default_factory=dict)
    replicas: Mapping[str, Replica] = field(default_factory=dict)
    unreadable: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def deletion(self, kind: Kind, key: str) -> "Change | None":
        """The change that deletes what stands under a key, be it a record or unreadable; None if nothing does."""
        stands = key in getattr(self, kind.value) or (kind, key) in self.unreadable
        return Change(kind, key, None) if stands else None

    def apply(self, revision: int, changes: Iterable[Change]) -> Self:
        """The configuration after `changes`."""
        replaced: dict[str, dict[str, Any]] = {}
        unreadable = dict(self.unreadable)
        for change in changes:
            kind, key, record = change.kind, change.key, change.record
            records = replaced.setdefault(kind.value, dict(getattr(self, kind.value)))
            unreadable.pop((kind, key), None)
            if isinstance(record, Unreadable):
                unreadable[kind, key] = record.why
            if record is None or isinstance(record, Unreadable):
                records.pop(key, None)
            else:
                records[key] = record
        return dataclasses.replace(self, revision=revision, unreadable=unreadable, **replaced)
