"""The public Python API, which `import kdray as kd` gives; each command is one call of it."""
