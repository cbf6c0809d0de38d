"""Every operation of the API, in the order in which it is told."""

from receiver.web.documents import of_destinations, of_events, of_hooks, of_keys, of_operating, of_stream, of_tasks
from receiver.web.documents.operation import Operation

OPERATIONS: tuple[Operation, ...] = (
    *of_tasks.OPERATIONS,
    *of_events.OPERATIONS,
    *of_stream.OPERATIONS,
    *of_destinations.OPERATIONS,
    *of_hooks.OPERATIONS,
    *of_keys.OPERATIONS,
    *of_operating.OPERATIONS,
)
TAGS = {
    "Tasks": "Pieces of work that a caller asked for, at whichever provider.",
    "Events": "Recorded facts, which never change, in one order.",
    "Deliveries": "Events that are owed to destinations.",
    "Destinations": "Where a tenant wants events, and what signs them.",
    "Hooks": "REST hooks, as Zapier, Make, n8n and Pipedream ask for them.",
    "Keys": "Who may do what.",
    "Usage": "What tasks came to.",
    "Operating": "For whoever operates the server.",
    "Health": "For whoever probes the server.",
    "Webhooks": "What goes out: an event of each type, as it arrives at a destination.",
}
