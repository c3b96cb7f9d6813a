"""From a process and posterior draws to arrays, and the exact solver."""
