#!/usr/bin/env bash
# Installs the wheel with its core dependencies alone in a clean environment, far from the sources, and uses it.
set -euo pipefail
repository="$(cd "$(dirname "$0")/.." && pwd)"
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
rm -rf "$repository/build/lib"
"$VENV/bin/pip" wheel --quiet --no-deps --no-build-isolation --wheel-dir "$place" "$repository"
"$PYTHON" -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet -c "$repository/constraints.txt" "$place"/rankloom-*.whl
cd "$place"
"$place/venv/bin/python" "$repository/tests/light_install.py"
"$place/venv/bin/rankloom" doctor >"$place/doctor.txt"
echo "wheel: installs and runs with core dependencies alone"
