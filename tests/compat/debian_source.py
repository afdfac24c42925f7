# SPDX-License-Identifier: BSD-3-Clause
"""Source packages of Debian, from where this machine has its packages; nothing of the system's apt is changed."""

import os
import subprocess

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def source_lists():
    """A line for each place and release of Debian that apt knows."""
    told = subprocess.run(["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages",
                           "Origin: Debian"], check=True, capture_output=True, text=True).stdout
    return "".join(f"deb-src [signed-by={KEYRING}] {line}\n" for line in sorted(set(told.splitlines())))


def fetch_source(package, folder, *options):
    """`apt-get source` of the package into the folder, which is given in full; options as --download-only."""
    lists = f"{folder}/lists"
    os.makedirs(f"{lists}/partial", exist_ok=True)
    with open(f"{folder}/sources.list", "w", encoding="utf-8") as file:
        file.write(source_lists())
    apt = ["apt-get", "-q", "-o", f"Dir::Etc::sourcelist={folder}/sources.list", "-o", "Dir::Etc::sourceparts=-",
           "-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache::pkgcache={folder}/pkgcache.bin",
           "-o", f"Dir::Cache::srcpkgcache={folder}/srcpkgcache.bin", "-o", "APT::Sandbox::User=root"]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "source", *options, package], cwd=folder, check=True)
