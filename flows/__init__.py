"""Prefect flows: orchestration only, never mathematics."""
