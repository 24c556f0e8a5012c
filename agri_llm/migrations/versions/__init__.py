"""One file per change of the database, in order; a released file is never edited."""
