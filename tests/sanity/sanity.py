# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run `ansible-test sanity` on the checkout, from the path ansible-test insists on, without the open internet.

    tests/sanity/run [--again] [arguments of `ansible-test sanity`, such as --test validate-modules]

Every file git knows, or would add, is copied to .cache/sanity/ansible_collections/covstack/selfhosted. A run without
arguments that passed is remembered by the digest of those files and of the tools, and is not repeated (`--again` does).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".cache" / "sanity"
COLLECTION = CACHE / "ansible_collections" / "covstack" / "selfhosted"
# Collections whose code or documentation ours uses: taken from the package `ansible`.
OTHER_COLLECTIONS = ("amazon",)
HOME = CACHE / "home"
PASSED = CACHE / "passed"
BIN = Path(sys.executable).parent
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
OLDEST_TARGET_PYTHON = "3.9"  # RHEL 9, see tests/config.yml
# Sanity tests judge Ansible content. What else is below tests are programs around it; ruff and mypy judge those.
TESTS_OF_CONTENT = ("tests/config.yml", "tests/integration/", "tests/sanity/", "tests/unit/")
NOT_CONTENT = ("requirements/", "tools/", "tests/")

# ansible-test runs this instead of downloading pip's own bootstrap script. Its options are those of `pip install`,
# apart from two that only the real script knows.
PIP_BOOTSTRAP = """\
import ensurepip, os, sys
environment = dict(os.environ)
ensurepip.bootstrap()  # hides pip's configuration from itself and everything after it
options = [option for option in sys.argv[1:] if option not in ("--no-setuptools", "--no-wheel")]
del environment["GET_PIP"]
os.execve(sys.executable, [sys.executable, "-m", "pip", "install", *options], environment)
"""


def content_files() -> list[Path]:
    """Files of the collection: tracked, and untracked ones that are not ignored."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY, check=True, capture_output=True, text=True,
    ).stdout
    names = sorted(set(listing.split("\0")) - {""})
    return [Path(name) for name in names if is_content(name) and os.path.lexists(REPOSITORY / name)]


def is_content(name: str) -> bool:
    return name.startswith(TESTS_OF_CONTENT) or not name.startswith(NOT_CONTENT)


def digest(files: list[Path]) -> str:
    """One value for the content of all files, their modes, and the version of the tool that judges them."""
    result = hashlib.sha256(f"{sys.version}\n{importlib.metadata.version('ansible-core')}\n".encode())
    for name in files:
        path = REPOSITORY / name
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        mode = path.lstat().st_mode
        result.update(f"{name}\0{mode:o}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return result.hexdigest()


def synchronise(files: list[Path]) -> None:
    """Make the copy equal to the checkout; its own .git and what ansible-test keeps below tests/output stay.

    It is a repository of its own because ansible-test would otherwise ask the checkout's, which ignores .cache.
    """
    subprocess.run(["git", "init", "--quiet", str(COLLECTION)], check=True)
    wanted = {COLLECTION / name for name in files}
    kept = (COLLECTION / ".git", COLLECTION / "tests" / "output")
    for path in sorted(COLLECTION.rglob("*"), reverse=True):
        if path in kept or any(directory in path.parents for directory in kept):
            continue
        if path.is_symlink() or path.is_file():
            if path not in wanted:
                path.unlink()
        elif not any(path.iterdir()):
            path.rmdir()
    for name in files:
        target = COLLECTION / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(target):
            target.unlink()
        shutil.copy2(REPOSITORY / name, target, follow_symlinks=False)


def link_other_collections() -> None:
    """Put them where ansible-test, which knows no other path of collections, looks for imports and documentation."""
    installed = Path(sysconfig.get_path("purelib")) / "ansible_collections"
    for name in OTHER_COLLECTIONS:
        link = COLLECTION.parents[1] / name
        link.unlink(missing_ok=True)
        link.symlink_to(installed / name)


def write_pip_configuration() -> None:
    """ansible-test hides PIP_* variables and the user's home from pip; say in its home what they said."""
    effective = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True,
    ).stdout
    options: dict[str, str] = {}
    for line in sorted(effective.splitlines(), key=lambda entry: entry.startswith(":env:")):
        key, value = line.split("=", 1)
        section, option = key.rsplit(".", 1)
        if section in ("global", ":env:", "install"):
            options[option] = value.strip("'").replace("\\n", "\n    ")
    path = HOME / ".config" / "pip" / "pip.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[global]\n" + "".join(f"{option} = {value}\n" for option, value in options.items()))


def write_pip_bootstrap() -> None:
    """Put the bootstrap script where ansible-test keeps the one it would download."""
    query = (
        "import types; from ansible_test._internal.python_requirements import get_venv_packages;"
        f"print(get_venv_packages(types.SimpleNamespace(version='{PYTHON}'))['pip'])"
    )
    version = subprocess.run([sys.executable, "-c", query], check=True, capture_output=True, text=True).stdout.strip()
    path = HOME / ".ansible" / "test" / "cache" / f"get_pip_{version.replace('.', '_')}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PIP_BOOTSTRAP)


def oldest_target_python() -> Path | None:
    """The interpreter of the oldest supported target, if this machine has one (pyenv's are not on the PATH)."""
    name = f"python{OLDEST_TARGET_PYTHON}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [Path(directory) / name for directory in os.environ["PATH"].split(os.pathsep)] + sorted(pyenv.glob(f"*/bin/{name}"))
    for candidate in candidates:
        if candidate.exists() and subprocess.run([candidate, "-c", ""], check=False, capture_output=True).returncode == 0:
            return candidate
    return None


def ansible_test(python: str, path: list[Path], arguments: list[str]) -> int:
    """Run `ansible-test sanity` in the copy, for one version of Python."""
    environment = {**os.environ, "HOME": str(HOME), "PATH": os.pathsep.join([*map(str, path), os.environ["PATH"]])}
    environment.pop("ANSIBLE_CONFIG", None)
    command = [str(BIN / "ansible-test"), "sanity", "--requirements", "--python", python, "--color", "no", *arguments]
    return subprocess.run(command, cwd=COLLECTION, env=environment, check=False).returncode


def all_tests() -> int:
    """Every test with the Python at hand, and what depends on the version with the oldest one of a target too."""
    code = ansible_test(PYTHON, [BIN], [])
    oldest = oldest_target_python()
    if oldest is None:
        print(f"ansible-test sanity: no Python {OLDEST_TARGET_PYTHON} here, so import and compile were tried with {PYTHON} only")
        return code
    return ansible_test(OLDEST_TARGET_PYTHON, [BIN, oldest.parent], ["--test", "compile", "--test", "import"]) or code


def main(arguments: list[str]) -> int:
    again = "--again" in arguments
    arguments = [argument for argument in arguments if argument != "--again"]
    COLLECTION.mkdir(parents=True, exist_ok=True)
    files = content_files()
    state = digest(files)
    if not again and not arguments and PASSED.exists() and PASSED.read_text() == state:
        print("ansible-test sanity: passed before with the same files (tests/sanity/run --again repeats it)")
        return 0
    synchronise(files)
    link_other_collections()
    write_pip_configuration()
    write_pip_bootstrap()
    if arguments:
        return ansible_test(PYTHON, [BIN], arguments)
    code = all_tests()
    if code == 0:
        PASSED.write_text(state)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
