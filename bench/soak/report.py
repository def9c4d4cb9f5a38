"""The soak as a table: memory of each process, what it grows by, and what clients got meanwhile."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench.slo.load import Outcome
from bench.soak.cluster import Reading, names
from bench.soak.series import Series, Slope, Verdict
from bench.tables import table

_MIB = 1 << 20
# Until then pools, caches and pages are still being filled.
_SETTLING_SHARE = 0.3
_MOMENTS = 5


@dataclass(frozen=True, slots=True)
class Soak:
    """All that was found.

    Attributes:
        machine: what it ran on.
        capacity: predictions a second with as many calls outstanding as bring the most.
        rate: those that were asked for all the time.
        outcomes: what came of the load, in parts one after the other.
        taught: how exchanges with the application that learns ended; "" for those that went well.
        readings: of the cluster, oldest first.
    """

    machine: str
    capacity: float
    rate: float
    outcomes: Sequence[Outcome]
    taught: Counter[str]
    readings: Sequence[Reading]

    @property
    def slopes(self) -> dict[str, Slope]:
        """How memory rises once it has settled, by process."""
        first, last = self.readings[0].time_s, self.readings[-1].time_s
        settled_s = first + _SETTLING_SHARE * (last - first)
        return {name: self._series(name).since(settled_s).slope() for name in names(self.readings)}

    def growing(self) -> list[str]:
        """The processes whose memory surely grows."""
        return [name for name, slope in self.slopes.items() if slope.verdict is Verdict.GROWS]

    def as_markdown(self) -> str:
        """The document's part."""
        return "\n\n".join((self._summary(), self._memory(), self._disk()))

    def _series(self, name: str) -> Series:
        return Series([each.time_s for each in self.readings], [each.memory[name] for each in self.readings])

    def _summary(self) -> str:
        minutes = (self.readings[-1].time_s - self.readings[0].time_s) / 60
        asked = sum(outcome.asked for outcome in self.outcomes)
        reasons: Counter[str] = Counter()
        for outcome in self.outcomes:
            reasons.update(outcome.defaults)
        defaults = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items()) or "none"
        failed = ", ".join(f"{count:,} × {end}" for end, count in self.taught.items() if end) or "none"
        return (
            f"{self.machine}. {minutes:.0f} minutes at {self.rate:,.0f} predictions a second, "
            f"{self.rate / self.capacity:.0%} of the {self.capacity:,.0f} that the cluster took just before. "
            f"{asked:,} predictions, all answered and none wrong; defaults: {defaults}. The latest answer took "
            f"{max(outcome.longest_s for outcome in self.outcomes) * 1e3:,.0f} ms, 99 of 100 at most "
            f"{max(outcome.p99_s for outcome in self.outcomes) * 1e3:,.1f} ms in the worst ten seconds. Beside that "
            f"{sum(self.taught.values()):,} predictions by REST, each with feedback; failures: {failed}."
        )

    def _memory(self) -> str:
        chosen = self._moments()
        head = ("MiB", *self._times(chosen), "MiB an hour", "")
        slopes = self.slopes
        rows = [
            [
                name,
                *(f"{reading.memory[name] / _MIB:,.1f}" for reading in chosen),
                f"{slopes[name].bytes_an_hour / _MIB:+.2f} ± {slopes[name].uncertainty / _MIB:.2f}",
                str(slopes[name].verdict),
            ]
            for name in names(self.readings)
        ]
        return table(head, rows)

    def _disk(self) -> str:
        chosen = self._moments()
        rows = [
            ["logs", *(f"{reading.log_bytes / _MIB:,.2f}" for reading in chosen)],
            ["store", *(f"{reading.store_bytes / _MIB:,.1f}" for reading in chosen)],
        ]
        return table(("MiB on the disk", *self._times(chosen)), rows)

    def _moments(self) -> list[Reading]:
        last = len(self.readings) - 1
        return [self.readings[round(last * moment / (_MOMENTS - 1))] for moment in range(_MOMENTS)]

    def _times(self, chosen: Sequence[Reading]) -> list[str]:
        return [f"{(reading.time_s - self.readings[0].time_s) / 60:.1f} min" for reading in chosen]
