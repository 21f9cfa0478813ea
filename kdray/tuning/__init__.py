"""Ray Tune as one driver of a study."""
