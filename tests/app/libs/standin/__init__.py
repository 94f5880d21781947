"""A stand-in for Codecov, for tests only: real servers that keep the application's measured contract."""
