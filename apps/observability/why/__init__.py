"""Why is this task queued? One task instance, the one reason that holds now, and what mends it.

`facts` asks Airflow's own plugin (`runtime/plugins/portal_why.py`) and bounds what it answers;
`reasons` decides, purely, from these facts and from what the portal itself knows (`known`): first
what holds back the scheduler (`scheduling`), then what holds back workers (`queueing`).
"""
