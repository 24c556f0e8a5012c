"""Data in, better adapters and photo models out. Nothing is trained yet: the first recipes come with the instruction data."""
