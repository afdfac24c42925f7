# SPDX-License-Identifier: BSD-3-Clause
"""python3-django-redis: caches, sessions and locks of a Django application (django_flows.py, a process of its own: Django
is configured once per process)."""

import sys

from target import HERE


def test_a_django_application(target):
    flows = target.run(sys.executable, HERE / "django_flows.py")
    assert len(flows) >= 9, flows
