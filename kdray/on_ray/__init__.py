"""Where things run: the only floor that imports ray and optuna. It adds where, never what."""
