"""From a stored run to answers: storylines, base rates, comparisons."""
