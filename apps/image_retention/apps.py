from django.apps import AppConfig


class ImageRetentionConfig(AppConfig):
    name = "apps.image_retention"
