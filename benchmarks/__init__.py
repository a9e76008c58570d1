"""What Pilot costs, beside what others cost. ``docs/performance.md`` says how to read it."""
