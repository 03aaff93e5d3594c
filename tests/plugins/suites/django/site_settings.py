SECRET_KEY = "x"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "shop"]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "real.sqlite3", "TEST": {"NAME": "t_default.sqlite3"}},
    "other": {"ENGINE": "django.db.backends.sqlite3", "NAME": "real_other.sqlite3", "TEST": {"NAME": "t_other.sqlite3"}},
}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
ROOT_URLCONF = "shop.urls"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
