from django.urls import path

from apps.dags.pages import actions, dag, grid, listing, run, task

app_name = "dags"

DAG = "d/<slug:ref>/dags/<str:dag_id>/"
RUN = f"{DAG}runs/<str:run_id>/"
TASK = f"{RUN}tasks/<str:task_id>/"

urlpatterns = [
    path("o/<slug:slug>/dags/", listing.of_organization, name="organization"),
    path("w/<slug:slug>/dags/", listing.of_workspace, name="workspace"),
    path("d/<slug:ref>/dags/", listing.of_deployment, name="deployment"),
    path(DAG, dag.runs, name="dag"),
    path(f"{DAG}grid/", grid.grid, name="grid"),
    path(f"{DAG}code/", dag.code, name="code"),
    path(f"{DAG}trigger/", actions.trigger, name="trigger"),
    path(f"{DAG}pause/", actions.pause, name="pause"),
    path(RUN, run.run, name="run"),
    path(f"{RUN}graph/", grid.graph, name="graph"),
    path(f"{RUN}act/<slug:verb>/", actions.act_on_run, name="act_on_run"),
    path(TASK, task.task, name="task"),
    path(f"{TASK}log/tail/", task.tail, name="log_tail"),
    path(f"{TASK}log/download/", task.download, name="log_download"),
    path(f"{TASK}act/<slug:verb>/", actions.act_on_task, name="act_on_task"),
]
