"""Simulation-based calibration: whether the posteriors of every kind of model are what they claim to be."""
