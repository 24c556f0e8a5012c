"""What the commands of `ui/cli.py` do between reading their options and printing."""
