"""Sources that wait for what they have asked are told of its end: clients, sessions, agents."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.core.guest import Guest
from scheduler.core.request_table import RequestTable
from scheduler.protocol.component import Outputs
from scheduler.protocol.messages import RequestsArrived, RequestsEnded


class ToldEnds(Guest):
    """Knows who asked for which open request, and sends each source one message for all that ended at once."""

    def __init__(self, table: RequestTable) -> None:
        self._table = table
        # Address of the source, and its key, by request id.
        self._asked: dict[int, tuple[str, int]] = {}

    def expect(self, ids: Sequence[int], message: RequestsArrived) -> None:
        """The source of these requests is to be told of their ends."""
        source = message.reply_to
        for request_id, key in zip(ids, message.keys, strict=True):
            self._asked[request_id] = (source, key)

    def ended(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """Told in the order of the ends."""
        table, told = self._table, dict[str, RequestsEnded]()
        for request_id in ids:
            asked = self._asked.pop(request_id, None)
            if asked is None:
                continue
            source, key = asked
            message = told.get(source)
            if message is None:
                message = told[source] = RequestsEnded([], [], [])
            message.keys.append(key)
            message.reasons.append(table.reason[request_id])
            message.ended_ns.append(table.ended_ns[request_id])
        return list(told.items())
