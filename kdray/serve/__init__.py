"""Predictions of a finished classifier: for whole files, and over HTTP."""
