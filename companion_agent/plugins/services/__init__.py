"""Services of the operating system: those that failed, and those that the owner watches."""
