"""PromQL of the panels. Every selector has the variables job and instance."""

from scripts.dashboards.board import Query

SELECTED = 'job=~"$job",instance=~"$instance"'
INTERVAL = "$__rate_interval"


def series(metric: str, labels: str = "") -> str:
    """A selector of the chosen processes' series, with further matchers."""
    return f"{metric}{{{f'{labels},' if labels else ''}{SELECTED}}}"


def total(metric: str, by: str = "", labels: str = "", aggregate: str = "sum") -> str:
    """A gauge, aggregated."""
    return f"{_aggregated(aggregate, by)} ({series(metric, labels)})"


def rate(metric: str, by: str = "", labels: str = "") -> str:
    """A counter's growth per second."""
    return f"{_aggregated('sum', by)} (rate({series(metric, labels)}[{INTERVAL}]))"


def rate_by_service(metric: str) -> str:
    """A shared counter's growth per second, by the service that counts it."""
    joined = f"rate({series(metric)}[{INTERVAL}]) * on (job, instance) group_left (service)"
    return f"sum by (service) ({joined} relay_build_info)"


def growth(metric: str, labels: str = "", window: str = INTERVAL) -> str:
    """A counter's growth over a window."""
    return f"sum (increase({series(metric, labels)}[{window}]))"


def quantile(share: float, metric: str, by: str = "") -> str:
    """A quantile of a histogram."""
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', ', '.join(filter(None, ('le', by))))})"


def share_within(metric: str, bound_s: str, window: str = INTERVAL) -> str:
    """The share of a histogram's observations within a bound, which is one of its buckets."""
    within = growth(f"{metric}_bucket", f'le="{bound_s}"', window)
    return f"{within} / {growth(f'{metric}_count', window=window)}"


def burn(recorded: str, target: float) -> str:
    """A recorded share of failures by the one allowed: 1 uses the budget up within the objective's period."""
    return f'max ({recorded}{{job=~"$job"}}) / {1 - target:.6g}'


def quantiles(metric: str) -> tuple[Query, ...]:
    """Median, 95th and 99th percentile of a histogram."""
    return tuple(Query(quantile(share, metric), f"p{share * 100:.0f}") for share in (0.5, 0.95, 0.99))


def rates(metric: str, by: str, labels: str = "") -> Query:
    """A counter's growth per second by a label."""
    return Query(rate(metric, by, labels), f"{{{{{by}}}}}")


def failures(metric: str, *by: str, labels: str = "") -> Query:
    """What failed in each interval, by labels: the series that are not 0, and `none`, which is 0."""
    found = f"{_aggregated('sum', ', '.join(by))} (increase({series(metric, labels)}[{INTERVAL}]))"
    none = f'label_replace({growth(metric, labels)} * 0, "{by[0]}", "none", "", "")'
    return Query(f"({found} > 0) or {none}", " ".join(f"{{{{{label}}}}}" for label in by))


def increases(metric: str, legend: str, labels: str = "") -> Query:
    """A counter's growth in each interval."""
    return Query(growth(metric, labels), legend)


def increases_by(metric: str, by: str) -> Query:
    """A counter's growth in each interval, by a label."""
    return Query(f"sum by ({by}) (increase({series(metric)}[{INTERVAL}]))", f"{{{{{by}}}}}")


def by_instance(metric: str) -> Query:
    """A gauge by process."""
    return Query(total(metric, "instance"), "{{instance}}")


def _aggregated(aggregate: str, by: str) -> str:
    return f"{aggregate} by ({by})" if by else aggregate
