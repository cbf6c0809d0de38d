"""What Vercel looks for: an ASGI application named `app`."""

from receiver.serverless import app

__all__ = ["app"]
