"""The schema for PostgreSQL, in numbered steps."""
