"""New releases of Airflow, from publication to the catalogue with no person there.

index    asks the package index, and notes what is new or withdrawn      ─▶ Release, found
trial    locks, installs, starts, runs and upgrades it on this machine   ─▶ tested, or failed
feed     takes a signed feed of runtimes, newer than the last
shelf    writes what was tested or withdrawn where the catalogue reads it
"""
