from django.urls import path

from apps.hibernation import views

app_name = "hibernation"

urlpatterns = [
    path("d/<slug:ref>/hibernation/", views.overview, name="overview"),
    path("d/<slug:ref>/hibernation/hibernate/", views.hibernate_page, name="hibernate"),
    path("d/<slug:ref>/hibernation/wake-up/", views.wake_page, name="wake"),
    path("d/<slug:ref>/hibernation/follow/", views.follow, name="follow"),
    path("d/<slug:ref>/hibernation/limits/", views.limits, name="limits"),
    path("d/<slug:ref>/hibernation/schedules/new/", views.new_schedule, name="new_schedule"),
    path("d/<slug:ref>/hibernation/schedules/<int:number>/", views.schedule, name="schedule"),
    path(
        "d/<slug:ref>/hibernation/schedules/<int:number>/remove/",
        views.remove_schedule,
        name="remove_schedule",
    ),
]
