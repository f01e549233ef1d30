"""What several end-to-end tests need besides conftest: one file a subject."""
