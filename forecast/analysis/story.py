"""One simulated future as a dated story."""

from collections.abc import Iterator

from forecast.process.compile import Program
from forecast.simulate import PathLog
from forecast.types import date_after


def tell(program: Program, log: PathLog, row: int = 0) -> Iterator[str]:
    """Tell path `row` of a log, one line an event that changed something, and how it ended.

    Dates are in UTC; the age of the deal stands behind them in years since the as-of date.
    """
    process = program.process
    flags = {f.id for f in process.flags if f.initially}
    n = int(log.n_step[row])
    for time, code in zip(log.time[row, :n], log.firing[row, :n], strict=True):
        firing = program.firings[int(code)]
        effect = program.effect_of(firing)
        before = set(flags)
        flags = (flags | set(effect.set)) - set(effect.clear)
        changes = [f"+{x}" for x in sorted(flags - before)] + [f"−{x}" for x in sorted(before - flags)]
        detail = f"  ({', '.join(changes)})" if changes else ""
        yield f"{date_after(process.as_of, float(time)):%Y-%m-%d}  {firing.label}{detail}"
    cause = int(log.cause[row])
    end = date_after(process.as_of, float(log.end_time[row]))
    if cause < 0:
        yield f"{end:%Y-%m-%d}  the horizon: the future is still open"
    else:
        yield f"{end:%Y-%m-%d}  END: {process.causes[cause].label}"
