"""Public checks for methods of your own."""
