"""Documents in, passages out; ships its own corpus."""
