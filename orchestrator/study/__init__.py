"""A study file as a whole: loaded, cross-checked, with its search space."""
