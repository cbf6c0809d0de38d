"""What holds for the adapters: each provider's recorded samples, and one contract for all of them."""
