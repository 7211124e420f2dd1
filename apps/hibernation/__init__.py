"""Hibernation of Deployments, as people see it. The plan and its arithmetic are below:

dataplane.hibernation            when it hibernates: pure, for portal and planes alike
deployments.editing.hibernating  what a plan brings about: an operation, and passes to carry it out
this app                         pages, schedules by form, what stops, and how long each one slept
"""
