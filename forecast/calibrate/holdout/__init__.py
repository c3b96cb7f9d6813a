"""Reference classes fitted to what was known on a date, scored on what became known later."""
