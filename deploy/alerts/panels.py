"""Which panel of which dashboard shows what an alert is about. The dashboards are made by `python -m grafana`."""

from __future__ import annotations

from typing import Final, NamedTuple


class Panel(NamedTuple):
    """A dashboard's uid and the id of a panel on it."""

    dashboard: str
    id: int

    @property
    def path(self) -> str:
        """The panel alone, as large as the window."""
        return f"d/{self.dashboard}?viewPanel={self.id}"


PANELS: Final = {
    "SendsFail": Panel("chappe-overview", 11),
    "DeliveriesAreLate": Panel("chappe-overview", 12),
    "HistoryFails": Panel("chappe-overview", 13),
    "NodeDown": Panel("chappe-overview", 31),
    "NoNodes": Panel("chappe-overview", 31),
    "EventLoopLate": Panel("chappe-overview", 32),
    "ClockSkew": Panel("chappe-overview", 33),
    "WorkersMissing": Panel("chappe-supervision", 41),
    "ChildRestarts": Panel("chappe-supervision", 12),
    "HeadroomSmall": Panel("chappe-supervision", 21),
    "SupervisorGaveUp": Panel("chappe-supervision", 22),
    "ChildStuck": Panel("chappe-supervision", 31),
    "StoreErrors": Panel("chappe-stores", 13),
    "StoreSlow": Panel("chappe-stores", 12),
    "LogQueueNearlyFull": Panel("chappe-stores", 21),
    "CassandraNodeDown": Panel("chappe-stores", 31),
    "DiskNearlyFull": Panel("chappe-stores", 41),
    "BusDown": Panel("chappe-delivery", 41),
    "BusGaps": Panel("chappe-delivery", 42),
    "ConnectionsNearlyFull": Panel("chappe-connections", 12),
    "FilesNearlyFull": Panel("chappe-connections", 41),
    "CertificateEnds": Panel("chappe-connections", 42),
}
"""By the alert's name, for both of its severities."""
