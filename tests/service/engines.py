"""Marks of what a test needs of SQLite, where the service's tests run on PostgreSQL."""

import pytest

from tests.service.world import ON_POSTGRES

makes_a_log = pytest.mark.skipif(ON_POSTGRES, reason="SQLite logs are refused on PostgreSQL")
looks_into_the_file = pytest.mark.skipif(ON_POSTGRES, reason="it looks into the SQLite file, or spoils it")
