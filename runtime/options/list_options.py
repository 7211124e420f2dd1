"""List the configuration options of an Airflow, by section, as JSON.

Run by the Python of a runtime, so that what is written is what that Airflow itself reads:

    …/bin/python runtime/options/list_options.py > runtime/options/airflow-3.3.2.json
"""

import json
import sys

from airflow.configuration import retrieve_configuration_description


def main() -> None:
    sections = retrieve_configuration_description(include_airflow=True, include_providers=True)
    options = {name: sorted(section["options"]) for name, section in sorted(sections.items())}
    json.dump(options, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
