"""What we remember: a method is a verb of the domain, and runs inside one transaction."""
