"""The scribe: writes steps down. Those taken at the same moment share a transaction, each still whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence

from notaus.daemon.calls import Calls, inline
from notaus.errors import JournalRefused
from notaus.journal import Journal, Lease, Record
from notaus.together import Asked, Together


class Scribe:
    """Writes for an engine: a thousand polls in a transaction each would wait a thousand times for the disk."""

    def __init__(self, journal: Journal, call: Calls = inline) -> None:
        self._journal, self._call = journal, call
        self._records: Together[tuple[Record, Lease], None] = Together(self._write, turns=0)

    async def write(self, record: Record, lease: Lease) -> None:
        """Until it is written. Raises as `Journal.write`, and then nothing of it is, unless the journal went silent."""
        await self._records.ask((record, lease))

    async def _write(self, asked: Sequence[Asked[tuple[Record, Lease], None]]) -> None:
        leases: dict[Lease, list[Asked[tuple[Record, Lease], None]]] = {}
        for each in asked:
            leases.setdefault(each.question[1], []).append(each)
        for lease, group in leases.items():
            await self._write_group(group, lease)

    async def _write_group(self, group: Sequence[Asked[tuple[Record, Lease], None]], lease: Lease) -> None:
        try:
            await self._call(self._journal.write_all, [each.question[0] for each in group], lease)
        except JournalRefused as refused:
            if len(group) == 1:
                group[0].fail(refused)
            else:  # the others are not to blame for the one that it will never take
                for each in group:
                    await self._write_group([each], lease)
        except Exception as failure:
            for each in group:
                each.fail(failure)
        else:
            for each in group:
                each.answer(None)
