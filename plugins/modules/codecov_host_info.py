#!/usr/bin/python
# Copyright (c) 2026, The covstack.selfhosted maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: codecov_host_info
short_description: Everything a deployment needs to know about its host, in one call
version_added: 0.1.0
author:
  - The covstack.selfhosted maintainers (@covstack)
description:
  - Reports the operating system, resources, listening ports, the Docker engine and the deployment on it (containers, active slot, releases), and
    tries names and endpoints that the deployment will need.
  - Works on a host without Docker. What cannot be found out is V(null), never an error.
options:
  directory:
    description: Where the deployment lives, or will live, on the host.
    type: path
    default: /opt/codecov
  deployment:
    description: Value of the label C(covstack.deployment) of the containers that belong to this deployment.
    type: str
    default: codecov
  ports:
    description: TCP ports for which to say who holds them.
    type: list
    elements: int
    default: []
  names:
    description: Host names to resolve on the host.
    type: list
    elements: str
    default: []
  endpoints:
    description: TCP endpoints to reach from the host, each C(host:port), or C([address]:port) for IPv6.
    type: list
    elements: str
    default: []
  images:
    description: Container images to look for in the engine of the host.
    type: list
    elements: str
    default: []
  volume_files:
    description: Docker volumes, and for each the name of a file in it whose first line to report.
    type: dict
    default: {}
  networks:
    description: Docker networks whose subnet to report.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds after which a name or endpoint counts as not answering. All of them are tried side by side.
    type: float
    default: 3.0
  docker_socket:
    description: Socket of the Docker engine.
    type: path
    default: /var/run/docker.sock
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
    details:
      - Changes nothing in either mode.
  diff_mode:
    support: none
  platform:
    platforms: posix
    details:
      - Linux only.
notes:
  - Needs root to name the processes behind ports that belong to other users, and to reach the Docker engine.
"""

EXAMPLES = r"""
- name: Learn about the host before anything is changed
  covstack.selfhosted.codecov_host_info:
    ports: [80, 443]
    names: [codecov.example.com]
    endpoints: ['db.example.com:5432']
  register: host

- name: Refuse a port that something else holds
  ansible.builtin.assert:
    that: not host.ports['443'].held or host.ports['443'].ours
    fail_msg: "Port 443 is held by {{ host.ports['443'].by }}."
"""

RETURN = r"""
os:
  description: The operating system. C(family) is V(debian), V(redhat) or V(other); C(codename) may be empty.
  returned: success
  type: dict
  sample: {"name": "Debian GNU/Linux 13 (trixie)", "distribution": "debian", "version": "13", "codename": "trixie", "family": "debian",
           "arch": "x86_64", "kernel": "6.12.9", "systemd": true}
cpus:
  description: Number of CPUs that processes may use.
  returned: success
  type: int
  sample: 4
memory_mb:
  description: Memory of the host.
  returned: success
  type: int
  sample: 16000
memory_available_mb:
  description: Memory that is not in use.
  returned: success
  type: int
  sample: 12000
disk:
  description:
    - Space of the file systems that hold O(directory) and Docker's data. C(path) is the nearest directory that exists.
  returned: success
  type: dict
  sample: {"directory": {"path": "/opt", "free_gb": 41.5, "total_gb": 80.0}, "docker": {"path": "/var/lib/docker", "free_gb": 41.5, "total_gb": 80.0}}
temporary_directory:
  description: Where programs may write temporary files; V(null) where they can write none, as on a full disk, which Ansible's own modules need.
  returned: success
  type: str
  sample: /tmp
clock:
  description: Time of the host, and whether it is synchronised (V(null) when the host does not know).
  returned: success
  type: dict
  sample: {"epoch": 1763697600.1, "ntp_synchronised": true}
listening:
  description: TCP ports that something listens on, with the process (V(null) when it cannot be seen) and the container that publishes it.
  returned: success
  type: list
  elements: dict
  sample: [{"port": 22, "addresses": ["0.0.0.0", "::"], "process": "sshd", "pid": 612, "container": null, "ours": false}]
ports:
  description: What is known of each port in O(ports), by port (as a string). A port held by a container of O(deployment) is C(ours).
  returned: success
  type: dict
  sample: {"443": {"held": true, "ours": false, "by": "nginx (process 812)"}}
docker:
  description:
    - The Docker engine. C(kind) is V(docker), V(podman), V(rootless), V(snap) or V(null) when there is none.
    - C(running) says that the engine answers. C(cgroup) says which limits it can enforce. C(error) says why it does not answer.
    - C(daemon_options) are the options that M(covstack.selfhosted.docker_daemon_options) set and that the daemon runs with; V(null) when they are
      not as it left them, or need a restart.
    - C(repository_files) are the files by which the role P(covstack.selfhosted.docker_engine#role) made Docker's repository known.
  returned: success
  type: dict
  sample: {"present": true, "kind": "docker", "running": true, "version": "26.1.5", "api": "1.45", "compose_version": "2.26.1", "root_dir": "/var/lib/docker",
           "driver": "overlay2", "cgroup": {"version": "2", "cpu": true, "memory": true, "pids": true}, "live_restore": false, "swarm": false,
           "enabled": true, "repository_files": [], "daemon_options": {}, "cli": "/usr/bin/docker", "error": null}
images:
  description: Whether the engine has each image in O(images); V(null) when it could not be asked.
  returned: success
  type: dict
  sample: {"docker.io/library/redis:8.0.3": true}
volume_files:
  description: First line of the file for each volume in O(volume_files); V(null) when there is no such volume or file, or the engine could not be asked.
  returned: success
  type: dict
  sample: {"codecov_postgres": "17"}
networks:
  description: Subnet of each network in O(networks); V(null) when there is no such network, it has none, or the engine could not be asked.
  returned: success
  type: dict
  sample: {"codecov_app": "172.30.0.0/24"}
names:
  description: Result for each name in O(names).
  returned: success
  type: dict
  sample: {"codecov.example.com": {"resolves": true, "addresses": ["192.0.2.10"], "error": null}}
endpoints:
  description: Result for each endpoint in O(endpoints).
  returned: success
  type: dict
  sample: {"db.example.com:5432": {"reachable": false, "latency_ms": null, "error": "Connection refused"}}
deployment:
  description:
    - What is deployed. C(active) comes from the first line of C(edge/dynamic/active.yml), or of C(slots/active.yml) where there is no edge, and
      is V(null) when nothing is switched on. C(shares) are the slots' shares of the requests, in percent, while two stand side by side (playbook
      C(blue_green)). C(changing) says that a change of the host was begun and not ended.
    - C(releases) are ordered from the newest to the oldest; C(proved) says that an upload proved it.
    - C(older_than_redis) names the containers with the application's configuration that were started before the embedded Redis last ended, whatever
      their slot and state. Processes in them may hang.
    - C(ended_unnoticed) names those that ended while the disk was full, so that Docker could not restart them and lists them as running. Their
      C(state) is what they are.
    - C(tls) says whether there are files of certificates.
    - C(image) of a container is an ID when its name means another image by now. C(config) is the digest of the definition that it was made from.
  returned: success
  type: dict
  sample: {"containers": [{"name": "codecov-blue-api-1", "service": "api", "slot": "blue", "release": "8c1f0a", "number": 1, "one_off": false,
           "config": null, "state": "running", "health": "healthy", "image": "docker.io/codecov/self-hosted-api:26.7.6", "id": "3e1b2c"}],
           "older_than_redis": [], "ended_unnoticed": [], "active": {"slot": "blue", "release": "8c1f0a"}, "shares": {"blue": 80, "green": 20},
           "releases": [{"id": "8c1f0a", "mtime": 1763697600, "proved": true}], "tls": false}
python:
  description: The Python that runs modules on the host, and whether it has PyYAML.
  returned: success
  type: dict
  sample: {"version": "3.13.5", "executable": "/usr/bin/python3", "yaml": true}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.covstack.selfhosted.plugins.module_utils._host_facts import OPTIONS, answer


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    found = answer(module.params)
    if "msg" in found:
        module.fail_json(msg=found["msg"])
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
