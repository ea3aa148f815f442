"""What the progress line of a planning reads."""

from __future__ import annotations

from deploy.compare.measure import RunProcesses
from deploy.planning.effort import TRIES, Effort, Stage
from deploy.planning.planner import Planner, Question
from tests.unit.deploy.planning.test_planner import OPTIONS, TRACE, Case, shapes


def test_what_is_done_grows_to_all_and_is_never_more() -> None:
    num_done = 0
    effort = Effort(lambda: num_done)
    effort.expect(Stage.SHORT, 100, num_searches=2)
    effort.expect(Stage.SURE, 1000)
    assert effort.read() == (0, 200 * TRIES[Stage.SHORT] + 1000 * TRIES[Stage.SURE])
    effort.enter(Stage.SHORT)
    effort.ask(3, 100)
    num_done = 2
    assert effort.read()[0] == 200
    num_done = 3
    effort.enter(Stage.SURE)  # sooner than was expected
    assert effort.read() == (300, 300 + 1000 * TRIES[Stage.SURE])
    effort.ask(2 * TRIES[Stage.SURE], 1000)  # and more than was expected
    assert effort.read() == (300, 300 + 2000 * TRIES[Stage.SURE])
    num_done += 2 * TRIES[Stage.SURE]
    done, total = effort.read()
    assert done == total


def test_a_planning_ends_near_what_it_counts() -> None:
    with RunProcesses(1) as processes:
        planner = Planner(Question(TRACE, OPTIONS, 300, 0.97), processes)
        found = planner.plan(shapes(Case("ttft=300ms,tpot=30ms", 0.97)))
        done, total = planner.effort.read()
    assert done == 300 * found.num_replays == 300 * processes.num_done
    assert done <= total <= done + 300 * TRIES[Stage.SURE]
