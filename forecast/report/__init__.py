"""What people look at: the HTML report, the diagnostics and their pictures."""
