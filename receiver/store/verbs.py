"""All verbs that the engines share."""

from receiver.store.api_keys import ApiKeyVerbs
from receiver.store.deliveries import DeliveryVerbs
from receiver.store.destinations import DestinationVerbs
from receiver.store.events import EventVerbs
from receiver.store.gauges import GaugeVerbs
from receiver.store.keys import KeyVerbs
from receiver.store.notes import NoteVerbs
from receiver.store.retention import RetentionVerbs
from receiver.store.secrets import SecretVerbs
from receiver.store.sides import MARK
from receiver.store.standings import StandingVerbs
from receiver.store.tasks import TaskVerbs
from receiver.store.usage import UsageVerbs


class SharedVerbs(
    TaskVerbs,
    KeyVerbs,
    ApiKeyVerbs,
    StandingVerbs,
    EventVerbs,
    DestinationVerbs,
    DeliveryVerbs,
    NoteVerbs,
    SecretVerbs,
    RetentionVerbs,
    UsageVerbs,
    GaugeVerbs,
):
    """What a store can do; an engine adds how statements run, and what only it can know of leases."""

    def half_moved(self) -> bool:
        return self.one("select_counter", counter=MARK) is not None
