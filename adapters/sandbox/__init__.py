"""The providers' side of the wire, for the demo, the tests and users' own CI."""
