"""Django, only for `manage.py shell`: the models under the application's import paths."""

from __future__ import annotations

from standin.config import get_config
from standin.database import connection_parameters

SECRET_KEY = get_config("django", "secret_key", default="*")
INSTALLED_APPS = ["shared.django_apps.codecov_auth", "shared.django_apps.core", "shared.django_apps.reports"]
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

_parameters = connection_parameters(get_config("services", "database_url"), like_worker=False)
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _parameters["dbname"],
        "USER": _parameters["user"],
        "PASSWORD": _parameters["password"],
        "HOST": _parameters["host"],
        "PORT": _parameters["port"],
        "CONN_MAX_AGE": 0,
    }
}
