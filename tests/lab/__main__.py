# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's command line: `make lab ARGS="host create h1"` or PYTHONPATH=tests .venv/bin/python -m lab ..."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import typing as t

from . import demo, engine, hosts, images, license, registry
from .shell import LabError, say


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="lab", description="Disposable hosts, test images and a registry on this machine's Docker engine.")
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("engine", help="the Docker engine").add_argument("action", choices=["up", "down", "watch"])
    build = commands.add_parser("images", help="build the test images that are missing or changed")
    build.add_argument("only", nargs="*", help="directories below tests/images or parts of tags (default: all)")
    commands.add_parser("registry", help="run the lab's registry and push all images to it").add_argument("action", choices=["up"])
    archives = commands.add_parser("archives", help="save the images as archives, one each, under their public names")
    archives.add_argument("directory", type=pathlib.Path)
    archives.add_argument("only", nargs="*")
    host = commands.add_parser("host", help="disposable hosts").add_subparsers(dest="action", required=True)
    create = host.add_parser("create")
    create.add_argument("names", nargs="+", metavar="NAME[=IP]")
    create.add_argument("--bare", action="store_true", help="without Docker")
    create.add_argument("--ip", help="a fixed address below 10.111.0.128 (one host)")
    create.add_argument("--disk-gb", type=int, default=0, help="a disk of its own of this size, which can be filled (needs root)")
    create.add_argument("--publish", action="append", default=[], metavar="[ADDRESS:]PORT:PORT", help="reach a port of it on this machine")
    host.add_parser("destroy").add_argument("names", nargs="+")
    host.add_parser("restart", help="power off and on again, and wait until it is back").add_argument("names", nargs="+")
    host.add_parser("list")
    inventory = commands.add_parser("inventory", help="an Ansible inventory of the hosts that run")
    inventory.add_argument("groups", nargs="*", metavar="GROUP=HOST[,HOST]")
    inventory.add_argument("--user", default="root", choices=["root", "ops"], help="ops has sudo without a password")
    commands.add_parser("demo", help="Strategy I on a disposable host").add_argument("action", choices=["up", "down"])
    commands.add_parser("license", help="a trial licence for disposable deployments; prints the file that holds it")
    commands.add_parser("down", help="remove every container, volume and network of the lab; images stay")
    return top


def groups(words: t.Sequence[str]) -> dict[str, list[str]]:
    return {name: members.split(",") for name, _equals, members in (word.partition("=") for word in words)}


def main(arguments: t.Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    if options.command == "engine":
        {"up": engine.up, "down": engine.down, "watch": engine.watch}[options.action]()
        return 0
    if options.command == "demo" and options.action == "down":
        demo.down()
        return 0
    if options.command == "down" and not engine.answers():
        say("lab: no engine runs, so there is nothing to remove")
        return 0
    engine.up()
    try:
        return run_command(options)
    finally:
        engine.touch()


def run_command(options: argparse.Namespace) -> int:
    if options.command == "images":
        print("\n".join(image.tag for image in images.build(options.only)))
    elif options.command == "registry":
        print("\n".join(registry.up()))
    elif options.command == "archives":
        print("\n".join(str(path) for path in images.save(options.directory, options.only)))
    elif options.command == "inventory":
        print(hosts.inventory(groups(options.groups), options.user), end="")
    elif options.command == "down":
        hosts.down()
    elif options.command == "demo":
        demo.up()
    elif options.command == "license":
        license.ensure()
        print(license.FILE)
    elif options.action == "create":
        for name, _equals, ip in (word.partition("=") for word in options.names):
            print(f"{name} {hosts.create(name, options.bare, ip or options.ip, options.publish, options.disk_gb)}")
    elif options.action == "destroy":
        hosts.destroy(*options.names)
    elif options.action == "restart":
        hosts.restart(*options.names)
    else:
        print(json.dumps(hosts.addresses(), indent=2))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as error:
        sys.exit(f"lab: {error}")
