"""The web service: plain WSGI, served by gunicorn."""
