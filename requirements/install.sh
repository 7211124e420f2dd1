#!/bin/sh
# Make .venv hold exactly what one lock file lists. Needs Python 3.11 or newer, and nothing else.
set -eu
cd "$(dirname "$0")/.."
lock=$1

find_python() {
    for name in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "Astro Portal needs Python 3.11, 3.12 or 3.13. Install it, or name it: make run PYTHON=/path/to/python3" >&2
    exit 1
}

# Debian and Ubuntu keep a part of Python's standard library in a package of its own.
need_venv_module() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null && return
    package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing the Debian package $package."
        apt-get update -qq && apt-get install -y -qq --no-install-recommends "$package" >/dev/null && return
    fi
    echo "This Python cannot make virtual environments. Install them first: sudo apt-get install $package" >&2
    exit 1
}

# Each step can be repeated: an installation that was interrupted goes on where it was.
if ! .venv/bin/python -c '' 2>/dev/null; then
    python=$(find_python)
    need_venv_module "$python"
    rm -rf .venv
    "$python" -m venv --without-pip .venv
fi
if ! .venv/bin/python -m uv --version >/dev/null 2>&1; then
    echo "Installing uv."
    .venv/bin/python -m ensurepip >/dev/null
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
        -r requirements/uv.txt
fi
echo "Installing what $lock lists."
.venv/bin/python -m uv pip sync --quiet --require-hashes --compile-bytecode --python .venv/bin/python "$lock"
