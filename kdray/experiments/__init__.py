"""What is searched, compared, confirmed and replayed; `kdray.engines` adds where. Nothing here imports Ray."""
