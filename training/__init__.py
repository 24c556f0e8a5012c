"""Data in, better adapters and photo models out."""
