"""AWS Lambda's way in: requests come by the function URL, the heartbeat from EventBridge Scheduler."""

from typing import Any

from mangum import Mangum

from receiver.serverless import app, tick

RECORDING_MS = 8_000  # what is under way when the budget ends is recorded after it, before Lambda ends us

_http = Mangum(app, lifespan="off")  # else there would be one per invocation


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a request; or, whatever else calls (its right to do so is IAM's), do what is due."""
    if "requestContext" in event:
        return _http(event, context)
    return tick(max(context.get_remaining_time_in_millis() - RECORDING_MS, 0))
