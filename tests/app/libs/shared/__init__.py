"""The part of the application's import paths that scripts for `manage.py shell` use, so that one script fits both."""
