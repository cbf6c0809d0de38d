"""What Vercel looks for: an assignment of an ASGI application to `app`."""

from receiver import serverless

app = serverless.app
