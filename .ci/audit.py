"""Ask an advisory service about every version of constraints.txt, and never take its silence for a clean bill.

    python .ci/audit.py [pypi|osv]

Returns 0 if all were audited and none has an advisory, 1 if one has, 3 if some or all could not be audited.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
CLEAN, FOUND, NOT_AUDITED = 0, 1, 3


def judge(printed: str, errors: str, pins: int) -> tuple[int, list[str]]:
    """What pip-audit's JSON means, and what to say.

    pip-audit itself returns 0 when the index knows no package, or serves no advisories under its name.

    Args:
        printed: Its standard output.
        errors: Its standard error; the last line is shown if there is no JSON.
        pins: How many versions there are to audit.
    """
    try:
        listed: list[dict[str, Any]] = json.loads(printed)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = errors.strip().rpartition("\n")[2] or "no reason given"
        return NOT_AUDITED, [f"NOT AUDITED: no advisory service could be asked ({last})"]
    audited = [one for one in listed if "skip_reason" not in one]
    bad = [(one, flaw) for one in audited for flaw in one["vulns"]]
    said = [f"{one['name']} {one['version']}: {flaw['id']}, fixed in {flaw['fix_versions']}" for one, flaw in bad]
    if len(audited) < pins:
        missing = sorted(one["name"] for one in listed if "skip_reason" in one)
        said.append(f"NOT AUDITED: {pins - len(audited)} of {pins} dependencies, such as {', '.join(missing[:5])}")
    else:
        said.append(f"{pins} dependencies audited, {len(bad)} advisories")
    return (FOUND if bad else NOT_AUDITED if len(audited) < pins else CLEAN), said


def main() -> int:
    """Run pip-audit on the pins alone: nothing is resolved or installed."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    pins = sum(1 for line in lines if line.strip() and not line.startswith("#"))
    service = sys.argv[1] if len(sys.argv) > 1 else "pypi"
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(CONSTRAINTS), "--vulnerability-service", service]
    command += ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # fixed arguments
    verdict, said = judge(done.stdout, done.stderr, pins)
    print("\n".join(said))
    return verdict


if __name__ == "__main__":
    sys.exit(main())
