"""The words people see, one JSON file a language."""
