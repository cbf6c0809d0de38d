"""What webhooks look like on the wire: one file per event type, in it every format, headers and body."""
