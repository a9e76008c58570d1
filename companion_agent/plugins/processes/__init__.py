"""Programs that the owner watches: whether they run, and what they take."""
