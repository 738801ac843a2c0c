"""Adapters: one folder per outside program. The core never imports from here."""
