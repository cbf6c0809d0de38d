"""A model of many servers on one PostgreSQL, and on many: what no machine here is large enough to be measured on."""
