# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test images: built from packages where no public registry answers. A tag whose sources did not change is not built again."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import inspect
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import typing as t

import yaml

from . import engine
from .shell import CACHE, ROOT, LabError, locked, output, run, step

TESTS = ROOT / "tests"
IMAGES = TESTS / "images"
BASE = "debian:trixie-slim"
DIGEST_LABEL = "covstack.lab.digest"
MIRROR = os.environ.get("COVSTACK_DEBIAN_MIRROR", "")  # empty: what debootstrap itself takes
IGNORED = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", "wheels"}
BUILDS_AT_ONCE = 3


class BuildError(LabError):
    """Some images could not be built; `built` are those that could."""

    def __init__(self, message: str, built: list[Image]) -> None:
        super().__init__(message)
        self.built = built


@dataclasses.dataclass(frozen=True)
class Image:
    """One tag to build. `public` is the name it stands in for, with its registry; helpers have none."""

    tag: str
    directory: str
    public: str | None = None
    args: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    also: t.Sequence[str] = ()
    wheels: t.Sequence[str] = ()
    needs: t.Sequence[str] = ()


def local_name(public: str) -> str:
    """docker.io/library/postgres:17 -> covstack-lab/library/postgres:17: a stand-in never takes a public image's name here."""
    return "covstack-lab/" + registry_path(public)


def registry_path(public: str) -> str:
    host, _slash, path = public.partition("/")
    if "." in host or ":" in host:
        return path
    return public if "/" in public else f"library/{public}"


def catalogue_images() -> dict[str, tuple[str, str]]:
    """Every public image:version of the catalogue -> (image, name of the first service that uses it)."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted((ROOT / "catalogue").glob("*.yml")):
        for name, service in (yaml.safe_load(path.read_text()).get("services") or {}).items():
            for variant in [service, *(service.get("variants") or {}).values()]:
                if "image" in variant:
                    found.setdefault(f"{variant['image']}:{variant['version']}", (variant["image"], name))
    return found


def plan() -> list[Image]:
    """All images, helpers first, from catalogue/*.yml and tests/images/images.yml."""
    extra = yaml.safe_load((IMAGES / "images.yml").read_text())
    planned = [_image(spec["tag"], None, name, spec, {}) for name, spec in extra["helpers"].items()]
    for public, (repository, service) in catalogue_images().items():
        spec = (extra["services"] or {}).get(repository) or {}
        if "no_stand_in" in spec:
            continue
        tags: dict[str, dict[str, str]] = {public.rpartition(":")[2]: {}, **(spec.get("tags") or {})}
        planned += [_image(local_name(f"{repository}:{tag}"), f"{repository}:{tag}", service, spec, args) for tag, args in tags.items()]
    return list({image.tag: image for image in planned}.values())


def _image(tag: str, public: str | None, directory: str, spec: t.Mapping[str, t.Any], args: t.Mapping[str, str]) -> Image:
    version = tag.rpartition(":")[2].removeprefix("v")
    return Image(
        tag=tag, public=public, directory=spec.get("directory", directory),
        args={**({"VERSION": version} if public else {}), **(spec.get("args") or {}), **args},
        also=spec.get("also", ()), needs=spec.get("needs", ()),
        wheels=[wheel.format(version=version) for wheel in spec.get("wheels", ())],
    )


def buildable(image: Image) -> bool:
    return (IMAGES / image.directory / "Dockerfile").exists()


def _files(image: Image) -> list[pathlib.Path]:
    roots = [IMAGES / image.directory, *(TESTS / path for path in image.also)]
    files = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*")) if path.is_file() and path.suffix != ".pyc"]
    return sorted(path for path in files if not IGNORED & set(path.relative_to(TESTS).parts))


def digest(image: Image, base: str, digests: t.Mapping[str, str]) -> str:
    """What the image is made of: files with modes, arguments, wheels, and what it stands on."""
    total = hashlib.sha256(json.dumps([base, dict(image.args), _requirements(image), [digests.get(need) for need in image.needs]], sort_keys=True).encode())
    for path in _files(image):
        total.update(f"{path.relative_to(TESTS)} {path.stat().st_mode & 0o111}\n".encode())
        total.update(path.read_bytes())
    return total.hexdigest()[:32]


def existing(tags: t.Sequence[str]) -> dict[str, str]:
    """Tag -> digest label of the images that are there. One call: this is the whole cost of a warm run."""
    found = run("docker", "image", "inspect", "--format", "{{json .RepoTags}} {{json .Config.Labels}}", *tags, check=False)
    digests: dict[str, str] = {}
    for line in filter(None, found.stdout.decode().splitlines()):  # an empty line stands for a missing image
        names, end = json.JSONDecoder().raw_decode(line)
        labels = json.loads(line[end:]) or {}
        digests.update({name: labels.get(DIGEST_LABEL, "") for name in names or ()})
    return digests


def _requirements(image: Image) -> str:
    """The wheels that an image wants; each entry is a requirement or a file of them."""
    return "\n".join((TESTS / wheel).read_text() if (TESTS / wheel).is_file() else wheel for wheel in image.wheels)


def _wheels(image: Image) -> pathlib.Path | None:
    """Wheels for the image's Python, downloaded on this machine: containers may not trust its way to PyPI."""
    if not image.wheels:
        return None
    requirements = _requirements(image)
    target = CACHE / "wheels" / hashlib.sha256(requirements.encode()).hexdigest()[:16]
    if (target / ".complete").exists():
        return target
    target.mkdir(parents=True, exist_ok=True)
    (target / "requirements.txt").write_text(requirements + "\n")
    platforms = [argument for tag in ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64") for argument in ("--platform", tag)]
    run(
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", "3.13",
        *platforms, "--dest", str(target), "--requirement", str(target / "requirements.txt"),
    )
    (target / ".complete").touch()
    return target


def _context(image: Image) -> bytes:
    """The build context: exactly the files that the digest covers, plus wheels."""
    buffer = io.BytesIO()

    def neutral(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        return entry

    # GNU format: Docker looks at the first block only to tell an archive from a Dockerfile.
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in _files(image):
            archive.add(path, arcname=str(path.relative_to(TESTS)), filter=neutral)
        wheels = _wheels(image)
        for path in sorted(wheels.glob("*.whl")) if wheels else ():
            archive.add(path, arcname=f"images/{image.directory}/wheels/{path.name}", filter=neutral)
    return buffer.getvalue()


def _build(image: Image, wanted: str) -> None:
    arguments = [argument for name, value in image.args.items() for argument in ("--build-arg", f"{name}={value}")]
    os.environ["DOCKER_BUILDKIT"] = "0"  # a context on standard input and Debian's engine without buildx
    with step(f"build {image.tag}"):
        dockerfile = f"images/{image.directory}/Dockerfile"
        run(
            "docker", "build", "--quiet", "--force-rm", "--file", dockerfile, "--tag", image.tag, "--label", f"{DIGEST_LABEL}={wanted}",
            *arguments, "-", stdin=_context(image),
        )


def ensure_base() -> str:
    """Debian 13 slim: the local one, the public one, or made by debootstrap. Returns its id."""
    if not _base_is_current():
        if public_registry_answers():
            with step(f"pull {BASE}"):
                run("docker", "pull", "--quiet", BASE)
        else:
            _debootstrap()
    return output("docker", "image", "inspect", "--format", "{{.Id}}", BASE)


def _base_is_current() -> bool:
    """A public image is taken as it is; our own is made again when its recipe changed."""
    found = existing([BASE])
    return BASE in found and found[BASE] in ("", _recipe())


def _recipe() -> str:
    return hashlib.sha256(inspect.getsource(_slim).encode()).hexdigest()[:32]


def public_registry_answers() -> bool:
    return registry_has(f"docker.io/library/{BASE}")


def registry_has(public: str) -> bool:
    """Asked with a short limit: a machine without a way out must not wait for it."""
    try:
        return run("docker", "manifest", "inspect", public, check=False, timeout=20).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _debootstrap() -> None:
    engine.install("debootstrap")
    if os.geteuid() != 0:
        raise LabError(f"no registry answers, and making {BASE} with debootstrap needs root. Run as root once, or load that image with docker load.")
    with tempfile.TemporaryDirectory(prefix="covstack-lab-") as scratch, step(f"make {BASE} with debootstrap (about 30 s)"):
        root = pathlib.Path(scratch) / "root"
        run("debootstrap", "--variant=minbase", "trixie", str(root), *([MIRROR] if MIRROR else []))
        _slim(root)
        archive = pathlib.Path(scratch) / "root.tar"
        run("tar", "--numeric-owner", "-C", str(root), "-cf", str(archive), ".")
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        run("docker", "import", "--change", f"ENV {path}", "--change", 'CMD ["bash"]', "--change", f"LABEL {DIGEST_LABEL}={_recipe()}", str(archive), BASE)


def _slim(root: pathlib.Path) -> None:
    """What makes Debian's slim images slim: no documentation, no translations, no package lists."""
    sources = root / "etc/apt/sources.list"
    mirror = sources.read_text().split()[1].rstrip("/")  # "deb MIRROR trixie main", as debootstrap left it
    sources.write_text(f"deb {mirror} trixie main\ndeb {mirror} trixie-updates main\ndeb {mirror}-security trixie-security main\n")
    (root / "etc/dpkg/dpkg.cfg.d/slim").write_text(
        "".join(f"path-exclude /usr/share/{name}/*\n" for name in ("doc", "man", "info", "locale")) + "path-include /usr/share/doc/*/copyright\n"
    )
    # Like Debian's images for containers: no package and no index stays behind an installation.
    (root / "etc/apt/apt.conf.d/slim").write_text(
        'Acquire::Languages "none";\nAPT::Install-Recommends "false";\nDir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
        'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };\n'
    )
    (root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (root / "usr/sbin/policy-rc.d").chmod(0o755)
    for pattern in ("usr/share/man", "usr/share/info", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt/archives"):
        run("find", str(root / pattern), "-type", "f", "-delete", check=False)
    run("find", str(root / "usr/share/doc"), "-type", "f", "!", "-name", "copyright", "-delete")


def build(only: t.Sequence[str] = ()) -> list[Image]:
    """Build what is missing or changed; returns every image that now exists. `only`: directories, or parts of tags."""
    with locked("images"):  # of several lab commands at once, one builds and the others find it done
        return _build_missing(only)


def _build_missing(only: t.Sequence[str]) -> list[Image]:
    base = ensure_base()
    images = [image for image in plan() if buildable(image)]
    if only:
        wanted = [image for image in images if image.directory in only or any(part in image.tag for part in only)]
        needed = {need for image in wanted for need in image.needs}
        images = [image for image in images if image in wanted or image.tag in needed]
    present = existing([image.tag for image in images])
    digests: dict[str, str] = {}
    failures: dict[str, LabError] = {}
    # Images that others stand on come first; the rest are built side by side.
    for group in ([image for image in images if not image.needs], [image for image in images if image.needs]):
        digests.update({image.tag: digest(image, base, digests) for image in group})
        missing = [image for image in group if present.get(image.tag) != digests[image.tag]]
        failures.update(_build_all([image for image in missing if not set(image.needs) & set(failures)], digests))
    if failures:
        built = [image for image in images if image.tag not in failures and not set(image.needs) & set(failures)]
        raise BuildError("\n".join(str(error) for error in failures.values()), built)
    return images


def _build_all(missing: t.Sequence[Image], digests: t.Mapping[str, str]) -> dict[str, LabError]:
    """Build side by side; one that fails does not keep the others from being built. Returns what failed."""
    failures: dict[str, LabError] = {}

    def attempt(image: Image) -> None:
        try:
            _build(image, digests[image.tag])
        except LabError as error:
            failures[image.tag] = error

    with concurrent.futures.ThreadPoolExecutor(BUILDS_AT_ONCE) as pool:
        list(pool.map(attempt, missing))
    return failures


def save(directory: pathlib.Path, only: t.Sequence[str] = ()) -> list[pathlib.Path]:
    """One archive an image, under its public name, for hosts that load archives instead of pulling."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for image in build(only):
        if image.public is None:
            continue
        target = directory / (registry_path(image.public).replace("/", "_").replace(":", "_") + ".tar")
        with step(f"save {image.public}"):
            _save_as(image.tag, image.public, target)
        written.append(target)
    return written


def _save_as(tag: str, public: str, target: pathlib.Path) -> None:
    """docker save under another name; a public image of that name on this machine gets its name back."""
    before = run("docker", "image", "inspect", "--format", "{{.Id}}", public, check=False)
    run("docker", "tag", tag, public)
    try:
        run("docker", "save", "--output", str(target), public)
    finally:
        if before.returncode == 0:
            run("docker", "tag", before.stdout.decode().strip(), public)
        else:
            run("docker", "rmi", "--no-prune", public)
