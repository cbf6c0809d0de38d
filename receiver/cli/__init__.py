"""The command line: talks to the HTTP API like anybody else."""
