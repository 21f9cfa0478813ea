"""The engine on Ray: sessions, trainings by Ray Train, maps by Ray Data. Import it only where Ray is wanted."""
