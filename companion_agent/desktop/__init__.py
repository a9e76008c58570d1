"""What agent and session helper share: their messages, and who offers what of a desktop."""
