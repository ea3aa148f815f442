"""Which side of the prefill stage serves a request, where there are two: prefill instances, and aggregated ones.

A `DisaggregationRule` says on which side a prompt is computed, the router which instance of it. If a side has no
eligible instance nobody asks the rule. Who fails is contained as a routing policy is: the prompt is disaggregated.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from scheduler.core.fleet import Stage
from scheduler.core.open_requests import RequestFacts
from scheduler.core.routing.decision import Decision
from scheduler.core.routing.router import Router
from scheduler.policies.disaggregation import DisaggregationRule, DisaggregationView
from scheduler.policies.failures import BrokenOffError, PolicyFailures
from scheduler.protocol.errors import PolicyStuckError

DISAGGREGATED: Final = "disaggregated"
STAYS: Final = "computed where it decodes"


class Sides:
    """Stands in for the router of the prefill stage where requests are placed."""

    def __init__(
        self, router: Router, aggregated: Collection[str], rule: DisaggregationRule, name: str, facts: RequestFacts
    ) -> None:
        self.failures: Final = PolicyFailures()
        stage = router.stage
        self._router: Final = router
        self._stage: Final[Stage] = stage
        self._rule: Final = rule
        self._name: Final = name
        self._table: Final = facts.table
        self._is_aggregated: Final = [address in aggregated for address in stage.addresses]
        self._pass_tokens: Final = [instance.pass_tokens for instance in stage.instances]
        self._members: list[int] = []
        self._remote: list[int] = []
        self._local: list[int] = []

    def withdrawn(self, index: int, request_id: int) -> None:
        """As of the router."""
        self._router.withdrawn(index, request_id)

    def choose(self, now_ns: int, request_id: int, num_tokens: int) -> Decision:
        """Which instance serves a request that has so many uncached prompt tokens; at least one is eligible."""
        self._split(self._stage.eligible)
        if not (self._remote and self._local):
            return self._router.choose(now_ns, request_id, num_tokens)
        return self._choose_side(now_ns, request_id, num_tokens)

    def choose_among(self, now_ns: int, request_id: int, num_tokens: int, up: list[int]) -> Decision:
        """The same of some of the eligible instances, at least one."""
        self._split(up)
        if not (self._remote and self._local):
            return self._router.choose_among(now_ns, request_id, num_tokens, up)
        return self._choose_side(now_ns, request_id, num_tokens)

    def _choose_side(self, now_ns: int, request_id: int, num_tokens: int) -> Decision:
        stays = self._stays(now_ns, request_id, num_tokens)
        side, said = (self._local, STAYS) if stays else (self._remote, DISAGGREGATED)
        decision = self._router.choose_among(now_ns, request_id, num_tokens, side)
        return Decision(decision.instance, f"{said} ({self._name}); {decision.reason}")

    def _split(self, members: list[int]) -> None:
        if members is not self._members:
            self._members = members
            self._remote = [index for index in members if not self._is_aggregated[index]]
            self._local = [index for index in members if self._is_aggregated[index]]

    def _stays(self, now_ns: int, request_id: int, num_tokens: int) -> bool:
        try:
            return bool(self._rule.stays(self._view(now_ns, request_id, num_tokens)))
        except (BrokenOffError, PolicyStuckError):
            raise
        except Exception as error:  # noqa: BLE001 - a rule may fail in any way, and requests must go on
            self.failures.add(str(error))
            return False

    def _view(self, now_ns: int, request_id: int, num_tokens: int) -> DisaggregationView:
        table, stage, tokens = self._table, self._stage, self._stage.outstanding_tokens
        return DisaggregationView(
            now_ns,
            table.prompt_tokens[request_id] + table.output_tokens[request_id],
            num_tokens,
            tuple([tokens[index] for index in self._remote]),
            tuple([self._pass_tokens[index] for index in self._remote]),
            tuple([tokens[index] / max(1, stage.instances[index].kv_capacity_tokens) for index in self._local]),
        )
