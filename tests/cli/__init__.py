"""The command line, over a real server and the providers' sandbox."""
