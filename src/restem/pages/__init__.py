"""What people read: tables and pages in Markdown, HTML and for the terminal."""
