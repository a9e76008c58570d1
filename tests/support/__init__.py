"""What tests are made of, in one vocabulary."""
