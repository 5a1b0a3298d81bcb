"""The schedule: starts the users, breaks connections when the plan has it, and ends the run."""

from collections.abc import Sequence

from locust import LoadTestShape
from tests.load.options import Load
from tests.load.stages import Break, Plan, plan


class Schedule(LoadTestShape):
    """The shape of every scenario. Locust's options give the users, their rate and the length of the run."""

    use_common_options = True
    _plan: Plan | None = None
    _due: Sequence[Break] = ()
    _finishes = False

    def reset_time(self) -> None:
        """Begin a run."""
        super().reset_time()
        self._plan, self._finishes = None, False

    def tick(self) -> tuple[int, float] | None:
        """The number of users and the rate at which they start; None ends the run. Called each second."""
        options, now_s = self.runner.environment.parsed_options, self.get_run_time()
        users, rate = int(options.num_users or 1), float(options.spawn_rate or 1)
        if self._plan is None:
            load = Load.of(options)
            self._plan = plan(
                load.scenario,
                run_s=float(options.run_time or 0),
                ramp_s=users / rate,
                gateways=len(load.gateway_urls),
            )
            self._due = self._plan.breaks
        self._act(self._plan, now_s)
        return (users, rate) if now_s < self._plan.end_s else None

    def _act(self, current: Plan, now_s: float) -> None:
        while self._due and self._due[0].at_s <= now_s:
            first, *self._due = self._due
            self.runner.send_message("break", first._asdict())
        if now_s >= current.finish_s and not self._finishes:
            self._finishes = True
            self.runner.send_message("finish")
