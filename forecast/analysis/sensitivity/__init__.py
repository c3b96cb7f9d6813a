"""Which parameters drive a forecast, from the draws that a stored run holds: no new simulation."""
