"""What of the reference a program writes: one module for each page, which includes what that module writes."""
