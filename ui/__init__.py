"""How people reach all this: web pages and the `agri` command."""
