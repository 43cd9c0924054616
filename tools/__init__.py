"""Programs for developers: run each by its path, from anywhere."""
