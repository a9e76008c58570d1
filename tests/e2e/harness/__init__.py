"""What the end-to-end tests arrange with: hosts, a listener on the broker, a family's browser."""
