"""What runs inside the sandbox: three files of the standard library's Python, and no more."""
