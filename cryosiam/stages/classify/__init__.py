"""From vectors to classes."""
