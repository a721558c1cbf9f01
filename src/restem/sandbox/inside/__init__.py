"""What runs inside the sandbox: three files that need only the standard library."""
