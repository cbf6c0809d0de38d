"""The container's health check: status 0 where the server beside it says that it is ready."""

import os
import sys
import urllib.error
import urllib.request

port = os.environ.get("TASKWEIR_PORT") or os.environ.get("PORT") or "8080"
try:
    urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5).close()
except (urllib.error.URLError, TimeoutError) as error:
    sys.exit(f"not ready: {error}")
