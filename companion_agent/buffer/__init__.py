"""What is read while nobody listens: kept on disk, and delivered afterwards in order."""
