"""When the tokens of a reported run of decode steps came out."""

from __future__ import annotations

from scheduler.protocol.messages import DecodeStepped


def step_times(report: DecodeStepped) -> list[int]:
    """The time of the end of each step, in ns.

    Step lengths are linear from the first to the last, about a mean that sums to the run's time, as in
    `scheduler.metrics.outcome.gaps`; the last is the report's own boundary.
    """
    num_steps, steps_ns = report.num_steps, report.steps_ns
    if num_steps <= 1:
        return [report.boundary_ns] if num_steps else []
    first_ns, last_ns = report.first_step_ns, report.last_step_ns
    mean_ns = steps_ns / num_steps
    tilt_ns = mean_ns * (last_ns - first_ns) / max(1, last_ns + first_ns)
    slope_ns = 2 * tilt_ns / (num_steps - 1)
    began_ns = report.boundary_ns - steps_ns
    times: list[int] = []
    for step in range(1, num_steps):
        since_ns = (mean_ns - tilt_ns) * step + slope_ns * step * (step - 1) / 2
        times.append(began_ns + round(since_ns))
    times.append(report.boundary_ns)
    return times
