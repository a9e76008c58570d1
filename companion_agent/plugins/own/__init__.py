"""What the owner of a host adds to it: commands and readings that the local file names."""
