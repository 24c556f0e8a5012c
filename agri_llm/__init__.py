"""The assistant: a farmer's question in, a checked and cited answer out."""
