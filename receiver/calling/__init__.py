"""How a server's API is called: what `receiver.client` is made of."""
