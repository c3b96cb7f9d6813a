"""Every input number of a deal in one table: shown, written out, and read back."""
