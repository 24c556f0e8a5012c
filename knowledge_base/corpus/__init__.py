"""The sheets that ship with the project, one Markdown file each, by language."""
