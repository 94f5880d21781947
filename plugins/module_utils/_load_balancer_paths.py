# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 The covstack.selfhosted maintainers
"""Where a load balancer of ours has its files and sockets.

Private to this collection.
"""

from __future__ import annotations

DIRECTORY = "covstack/load_balancer"  # below /etc
ETC = f"/etc/{DIRECTORY}"
# Where SELinux lets keepalived run scripts.
SCRIPTS = "/usr/libexec/keepalived"
ADMIN_SOCKET, MASTER_SOCKET, STATE_FILE = "/run/haproxy/admin.sock", "/run/haproxy-master.sock", "/run/haproxy/server-state"
APPLIED = "/run/covstack-keepalived.applied"
CERTIFICATE = f"{ETC}/tls/certificate.pem"  # HAProxy finds the key beside it, as certificate.pem.key
PASSWORD_FILE = f"{ETC}/vrrp_password.conf"
