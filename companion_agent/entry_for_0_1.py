"""Makes agents up to 0.1 take a release; the command line is the package beside this file."""
