from __future__ import annotations


def test_health(deployment, api):
    import requests

    r = requests.get(deployment.url + "/health/")
    assert (r.status_code, r.text) == (200, "26.7.6 is live!")
